"""Fixtures for all tests: real nodes, one of each version a session, and the scripted one."""

import contextlib
import uuid
from collections.abc import Iterator

import pytest

from tests.elasticsearch_node import VERSION_8, VERSION_9, MissingTool, running_node
from tests.fakes import ScriptedElasticsearch
from tests.required_tools import skip_or_fail


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """A real Elasticsearch 8, shared by the session: use `index_name` for what you write."""
    yield from _node_url(VERSION_8)


@pytest.fixture(scope="session")
def elasticsearch_9_url() -> Iterator[str]:
    """A real Elasticsearch 9, shared by the session."""
    yield from _node_url(VERSION_9)


@pytest.fixture
def index_name() -> str:
    """A name that no other test uses, good for an index, a template or a pattern's stem."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture
def scripted_elasticsearch() -> Iterator[ScriptedElasticsearch]:
    with ScriptedElasticsearch() as es:
        yield es


def _node_url(version: str) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(running_node(version))
        except MissingTool as missing:
            skip_or_fail(str(missing))
        yield url

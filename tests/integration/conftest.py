"""Fixtures of tests that run a service of their own."""

from collections.abc import Iterator

import pytest

from tests.fakes import ScriptedElasticsearch


@pytest.fixture(name="es")
def _es(scripted_elasticsearch: ScriptedElasticsearch) -> Iterator[ScriptedElasticsearch]:
    """Goes on at the end, whatever a test that failed has left: a service can drain then."""
    yield scripted_elasticsearch
    scripted_elasticsearch.resume()

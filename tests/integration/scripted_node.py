"""A scripted node that several files of tests share, each with indices of its own.

es = pytest.fixture(scope="package")(scripted_node)
"""

from collections.abc import Iterator

from tests.fakes import ScriptedElasticsearch


def scripted_node() -> Iterator[ScriptedElasticsearch]:
    with ScriptedElasticsearch() as node:
        yield node

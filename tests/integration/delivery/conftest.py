"""One service with short pauses, and one scripted Elasticsearch that is well again after each test.

The oracle knows nothing of the service: each document carries a number, and the scripted
Elasticsearch and the dead letters' files are searched for them.
"""

from collections.abc import Iterator

import pytest

from tests.fakes import ScriptedElasticsearch, Step
from tests.integration.delivery.rig import ACK_TIMEOUT_S, REQUEST_TIMEOUT_S
from tests.integration.scripted_node import scripted_node
from tests.service import Service, is_balanced

running_es = pytest.fixture(scope="package")(scripted_node)


@pytest.fixture(scope="package")
def running(
    running_es: ScriptedElasticsearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("data"),
        running_es.url,
        environment={"INGEST_ELASTICSEARCH__REQUEST_TIMEOUT_S": str(REQUEST_TIMEOUT_S)},
        ack="memory",
        flush_interval_s=0.05,
        flush_documents=25,
        max_in_flight=3,
        backoff_initial_s=0.01,
        backoff_max_s=0.05,
        ack_timeout_s=ACK_TIMEOUT_S,
    ) as service:
        yield service


@pytest.fixture
def es(running_es: ScriptedElasticsearch) -> Iterator[ScriptedElasticsearch]:
    yield running_es
    running_es.clear_script()
    running_es.set_default(Step())


@pytest.fixture
def service(running: Service, es: ScriptedElasticsearch) -> Iterator[Service]:
    yield running
    es.resume()
    es.clear_script()
    assert is_balanced(running.wait_until_settled())

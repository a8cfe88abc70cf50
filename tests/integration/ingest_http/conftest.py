"""One service and one scripted Elasticsearch for all tests; each writes to an index of its own."""

from collections.abc import Iterator

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.integration.ingest_http.rig import BUFFER_BYTES
from tests.integration.scripted_node import scripted_node
from tests.service import Service

es = pytest.fixture(scope="package")(scripted_node)


@pytest.fixture(scope="package")
def service(
    es: ScriptedElasticsearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("data"),
        es.url,
        flush_interval_s=0.01,
        max_document_bytes=BUFFER_BYTES // 2,
        buffer_bytes=BUFFER_BYTES,
    ) as running:
        yield running

"""A service with two small buffers, so that every limit is near."""

from collections.abc import Iterator

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.integration.scripted_node import scripted_node
from tests.integration.streaming.rig import (
    BODY_BYTES_MAX,
    BUFFER_BYTES,
    BUFFERS,
    CONNECTIONS_MAX,
    DOCUMENT_BYTES_MAX,
    PENDING_BYTES_MAX,
    KiB,
    gauge,
)
from tests.service import Service, is_balanced

es = pytest.fixture(scope="package")(scripted_node)


@pytest.fixture(scope="package")
def running(
    es: ScriptedElasticsearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """After the last test all buffers must be free and nothing pending."""
    with Service(
        tmp_path_factory.mktemp("data"),
        es.url,
        ack="memory",
        flush_interval_s=0.02,
        max_document_bytes=DOCUMENT_BYTES_MAX,
        buffer_bytes=BUFFER_BYTES,
        buffers=BUFFERS,
        flush_bytes=128 * KiB,
        max_pending_bytes=PENDING_BYTES_MAX,
        max_body_bytes=BODY_BYTES_MAX,
        max_decompression_ratio=50,
        buffer_wait_s=0.5,
        min_body_bytes_per_s=1 * KiB,
        body_grace_s=2,
        max_connections=CONNECTIONS_MAX,
        backoff_max_s=0.5,
    ) as service:
        yield service
        service.wait_until(lambda: gauge(service, "buffers_free") == BUFFERS)
        service.wait_until(lambda: gauge(service, "pending_bytes") == 0)


@pytest.fixture
def service(running: Service, es: ScriptedElasticsearch) -> Iterator[Service]:
    """The running service; after the test all that it took must have its outcome."""
    yield running
    es.resume()
    assert is_balanced(running.wait_until_settled())

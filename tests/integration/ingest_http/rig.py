"""What the tests of `POST /ingest` share: the service's settings, ack levels, example requests."""

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.http_client import post, request
from tests.service import JSON, NDJSON

BUFFER_BYTES = 256 * 1024
ACKS = {"memory": 202, "durable": 202, "indexed": 200}
each_ack = pytest.mark.parametrize(("ack", "status"), ACKS.items(), ids=list(ACKS))

GOOD = post("/ingest", b'{"n":1}\n')
DAMAGED = post("/ingest", b"no gzip", {"content-encoding": "gzip"})
ANOTHER_TYPE = post("/ingest", b"<a/>", {"content-type": "text/xml"})
BROKEN_ARRAY = request("POST", "/ingest", b'[{"n":1}', {"content-type": JSON})
GET = request("GET", "/ingest")
PUT = request("PUT", "/ingest", b'{"n":1}\n', {"content-type": NDJSON})


def stored(es: ScriptedElasticsearch, index: str) -> list[bytes]:
    return list(es.sources(index).values())

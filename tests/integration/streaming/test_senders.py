"""Senders that leave in the middle, and slow ones."""

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.http_client import RawClient, chunk, chunked_head, head
from tests.integration.streaming.rig import (
    BUFFER_BYTES,
    accepted_of,
    documents,
    joined,
    stored,
    wait_for_count,
)
from tests.service import NDJSON, Service


@pytest.mark.parametrize("way", ["disconnect", "reset", "half_close"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_sender_that_leaves_keeps_what_was_complete_and_frees_its_buffer(
    way: str,
    is_chunked: bool,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    lines = documents(4 * BUFFER_BYTES // 200)
    body, target = joined(lines)[:-50], f"/ingest?index={index_name}"
    sent = chunked_head(target) + chunk(body)
    if not is_chunked:
        sent = head("POST", target, {"content-type": NDJSON, "content-length": "4000000"}) + body
    before = service.metrics()['ingest_requests_total{status="disconnect"}']
    with RawClient(service.url) as client:
        client.send(sent)
        least = 2 * BUFFER_BYTES // 200
        es.wait_until(lambda: len(es.sources(index_name)) > least)
        {"disconnect": client.disconnect, "reset": client.reset, "half_close": client.end_sending}[
            way
        ]()
        service.wait_until(
            lambda: service.metrics()['ingest_requests_total{status="disconnect"}'] == before + 1
        )
    service.wait_until_settled()
    found = stored(es, index_name)
    assert found == lines[: len(found)]


# slow senders


def test_slow_sender_is_refused_and_its_lines_stay_accepted(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    with RawClient(service.url) as client:
        client.send(chunked_head(f"/ingest?index={index_name}") + chunk(b'{"n":0}\n{"n":1}\n{"n":'))
        answer = client.read_answer()
        assert client.is_ended()
    assert (answer.status, answer.json["error"]["type"]) == (408, "slow_sender")
    assert answer.headers["connection"] == "close"
    assert (accepted_of(answer), answer.json["next_position"]) == (2, 2)
    es.wait_until(lambda: stored(es, index_name) == [b'{"n":0}', b'{"n":1}'])


def test_documents_of_a_trickling_stream_arrive_before_it_ends(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(6, 8000)
    with RawClient(service.url) as client:
        client.send(chunked_head(f"/ingest?index={index_name}&ack=indexed"))
        for count, line in enumerate(lines, 1):
            client.send(chunk(line + b"\n"))
            wait_for_count(es, index_name, count)
        client.send(chunk(b""))
        answer = client.read_answer()
    assert (answer.status, answer.json["received"]) == (200, len(lines))
    assert stored(es, index_name) == lines

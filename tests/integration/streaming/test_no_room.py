"""Elasticsearch is stuck and memory full: bodies are shed, and say what was accepted."""

import threading

from tests.fakes import ScriptedElasticsearch
from tests.http_client import RawClient, post, request
from tests.integration.streaming.rig import (
    BUFFER_BYTES,
    PENDING_BYTES_MAX,
    Send,
    accepted_of,
    answer_to,
    documents,
    each_way,
    gauge,
    joined,
    send_gzip,
    send_with_length,
    stored,
)
from tests.service import Service


def test_senders_are_shed_while_elasticsearch_is_stuck_and_all_goes_on_after(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(3000)
    batches = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    target = f"/ingest?index={index_name}"
    es.pause()
    accepted: list[bytes] = []
    for batch in batches:
        answer = answer_to(service, send_with_length, target, joined(batch))
        if answer.status != 202:
            break
        accepted += batch
    assert (answer.status, answer.json["error"]["type"]) == (429, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    assert "max_pending_bytes" in answer.json["error"]["reason"]
    assert gauge(service, "pending_bytes") >= PENDING_BYTES_MAX
    es.resume()
    service.wait_until_settled()
    assert stored(es, index_name) == accepted
    answer = answer_to(service, send_with_length, target, joined(lines[-1:]))
    assert answer.status == 202


@each_way
def test_durable_body_is_kept_on_disk_while_elasticsearch_is_stuck(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    """What is acked was written; it may be shed before its end, as it is read back for sending."""
    lines = documents(20 * BUFFER_BYTES // 200)
    es.pause()
    answer = answer_to(service, send, f"/ingest?ack=durable&index={index_name}", joined(lines))
    assert answer.status in (202, 429)
    accepted = len(lines) if answer.status == 202 else accepted_of(answer)
    assert service.documents()["spooled"] >= accepted
    es.resume()
    service.wait_until_settled()
    found = stored(es, index_name)
    assert len(found) >= accepted
    assert found == lines[: len(found)]


@each_way
def test_long_body_is_shed_in_its_middle_and_says_what_was_accepted(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(10 * BUFFER_BYTES // 200)
    es.pause()
    answer = answer_to(service, send, f"/ingest?index={index_name}", joined(lines))
    es.resume()
    assert answer.status == 429
    accepted = accepted_of(answer)
    assert 0 < accepted < len(lines)
    service.wait_until_settled()
    assert stored(es, index_name) == lines[:accepted]


def test_compressed_body_that_had_to_wait_is_read_to_its_end(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    """All of it has arrived and most of it is not decompressed yet when the room runs out."""
    lines = documents(8 * BUFFER_BYTES // 200)
    target = f"/ingest?index={index_name}&ack=indexed"
    with RawClient(service.url) as client:
        es.pause()
        send_gzip(client, target, joined(lines), {})
        resuming = threading.Timer(0.2, es.resume)
        resuming.start()
        answer = client.read_answer()
        resuming.join()
    assert answer.status in (200, 429)  # 429 where the machine stalled
    received = len(lines) if answer.status == 200 else accepted_of(answer)
    service.wait_until_settled()
    assert stored(es, index_name) == lines[:received]


def test_request_behind_a_shed_one_is_answered(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    """The shed one had arrived completely, so the connection goes on."""
    target = f"/ingest?index={index_name}"
    es.pause()
    while answer_to(service, send_with_length, target, joined(documents(100))).status == 202:
        pass
    with RawClient(service.url) as client:
        client.send(post(target, b'{"n":1}\n') + request("GET", "/ingest"))
        assert client.read_answer().status == 429
        assert client.read_answer().status == 405

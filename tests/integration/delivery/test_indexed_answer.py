"""`ack=indexed`: its answer waits for the outcomes, and delivery does not wait for it."""

from collections import Counter

from tests.fakes import (
    FOREVER,
    ScriptedElasticsearch,
    Step,
    answer_items,
    refuse,
    rejected,
    unparsable,
)
from tests.http_client import RawClient, chunk, chunked_head, post
from tests.integration.delivery.rig import assert_each_once
from tests.numbered import indexed, lines
from tests.service import Service


def test_indexed_answer_waits_for_repeats(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(refuse(503, times=3), answer_items({1: rejected(), 2: unparsable()}))
    answer = service.post(lines(range(4)), index=index_name, ack="indexed")
    assert (answer.status, answer.json["received"]) == (200, 4)
    assert [(item["position"], item["status"]) for item in answer.json["items"]] == [(2, 400)]
    assert indexed(es, index_name) == Counter([0, 1, 3])


def test_indexed_answer_that_takes_too_long_is_pending_and_delivery_goes_on(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(Step(), refuse(429, times=FOREVER))
    body = lines(range(30)).splitlines(keepends=True)
    with RawClient(service.url) as client:
        client.send(chunked_head(f"/ingest?index={index_name}&ack=indexed"))
        client.send(chunk(b"".join(body[:20])))
        es.wait_until(lambda: indexed(es, index_name) == Counter(range(20)))
        client.send(chunk(b"".join(body[20:]) + b"x\n") + chunk(b""))
        answer = client.read_answer()
        client.send(post(f"/ingest?index={index_name}-2", b"{}\n"))
        assert client.read_answer().status == 202
    content = answer.json
    assert (answer.status, content["status"], content["error"]["type"]) == (503, 503, "unavailable")
    assert (content["received"], content["rejected"]) == (31, 1)
    assert content["pending"] == 10
    assert int(answer.headers["retry-after"]) >= 1
    es.clear_script()
    assert_each_once(service, es, index_name, 30)


def test_sender_that_leaves_before_the_indexed_answer_loses_nothing(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.pause()
    with RawClient(service.url) as client:
        client.send(post(f"/ingest?index={index_name}&ack=indexed", lines(range(5))))
        service.wait_until(lambda: service.documents()["in_memory"] == 5)
    es.resume()
    assert_each_once(service, es, index_name, 5)


def test_documents_of_an_unfinished_body_are_delivered(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    with RawClient(service.url) as client:
        client.send(chunked_head(f"/ingest?index={index_name}") + chunk(lines(range(5)) + b'{"n":'))
        es.wait_until(lambda: indexed(es, index_name) == Counter(range(5)))
    assert_each_once(service, es, index_name, 5)

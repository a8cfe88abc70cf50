"""One buffer is enough for a body of any length; what no buffer can hold is refused."""

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.integration.streaming.rig import (
    BUFFER_BYTES,
    DOCUMENT_BYTES_MAX,
    Send,
    answer_to,
    documents,
    each_way,
    joined,
    stored,
)
from tests.service import JSON, Service


@each_way
def test_body_many_times_larger_than_a_buffer_goes_through_one(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(20 * BUFFER_BYTES // 200)
    answer = answer_to(service, send, f"/ingest?ack=indexed&index={index_name}", joined(lines))
    assert (answer.status, answer.json["received"]) == (200, len(lines))
    assert stored(es, index_name) == lines


@each_way
@pytest.mark.parametrize(
    "length",
    [
        DOCUMENT_BYTES_MAX + 1,
        BUFFER_BYTES - 1,
        BUFFER_BYTES,
        BUFFER_BYTES + 1,
        2 * BUFFER_BYTES,
        10 * BUFFER_BYTES + 17,
    ],
    ids=["over_the_limit", "buffer_less_1", "buffer", "buffer_and_1", "two", "ten"],
)
@pytest.mark.parametrize("place", ["between", "last"])
def test_huge_line_is_refused_and_its_neighbours_are_not(
    send: Send,
    length: int,
    place: str,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    good = documents(20)
    huge = documents(1, length)[0][:length]
    body = joined([*good[:10], huge, *good[10:]]) if place == "between" else joined(good) + huge
    answer = answer_to(service, send, f"/ingest?ack=indexed&index={index_name}", body)
    assert (answer.status, answer.json["received"], answer.json["rejected"]) == (200, 21, 1)
    (item,) = answer.json["items"]
    assert item["position"] == (10 if place == "between" else 20)
    assert (item["status"], item["error"]["type"]) == (413, "document_too_large")
    assert stored(es, index_name) == good


@each_way
def test_line_at_the_limit_is_taken(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(3, DOCUMENT_BYTES_MAX - 1)  # its line break counts
    answer = answer_to(service, send, f"/ingest?ack=indexed&index={index_name}", joined(lines))
    assert (answer.status, answer.json["accepted"]) == (200, 3)
    assert stored(es, index_name) == lines


@each_way
def test_array_over_a_buffer_is_refused_with_advice(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    body = b"[%b]" % b",".join(documents(2 * BUFFER_BYTES // 200))
    target = f"/ingest?index={index_name}"
    answer = answer_to(service, send, target, body, **{"content-type": JSON})
    assert (answer.status, answer.json["error"]["type"]) == (413, "body_too_large")
    assert "x-ndjson" in answer.json["error"]["reason"]
    assert stored(es, index_name) == []

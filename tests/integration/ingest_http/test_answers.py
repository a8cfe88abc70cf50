"""The answer to a body that was read: counts, and the documents that were refused."""

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.integration.ingest_http.rig import ACKS, each_ack, stored
from tests.service import JSON, NDJSON, Service


@each_ack
def test_answer_to_flawless_documents(
    ack: str, status: int, service: Service, index_name: str
) -> None:
    answer = service.post(b"{}\n{}\n", index=index_name, ack=ack)
    assert (answer.status, answer.headers["content-type"]) == (status, JSON)
    counts = {"received": 2, "accepted": 2, "rejected": 0, "trimmed": 0}
    assert answer.json == {"ack": ack, **counts, "errors": False, "items": []}


@each_ack
def test_answer_lists_refused_documents_by_position(
    ack: str, status: int, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    body = b'{"n":0}\n\n{"n":\n \n[{"n":2}]\n"3"\n{"n":4}\nnull\n{"n":NaN}\n{"n":"\xff"}\n{"n":8}'
    answer = service.post(body, index=index_name, ack=ack)
    content = answer.json
    items = content.pop("items")
    counts = {"received": 9, "accepted": 3, "rejected": 6, "trimmed": 0}
    assert (answer.status, content) == (status, {"ack": ack, **counts, "errors": True})
    malformed, other = "malformed_json", "not_an_object"
    assert [(item["position"], item["error"]["type"]) for item in items] == [
        *((1, malformed), (2, other), (3, other), (5, other), (6, malformed), (7, malformed)),
    ]
    for item in items:
        assert item.keys() == {"position", "status", "error"}
        assert item["error"].keys() == {"type", "reason"}
        assert item["status"] == 400
    es.wait_until(lambda: stored(es, index_name) == [b'{"n":0}', b'{"n":4}', b'{"n":8}'])


def test_raw_line_break_inside_a_text_is_not_json(service: Service, index_name: str) -> None:
    for body in (b'{"n":"a\nb"}', b'[{"n":"a\nb"}]'):
        answer = service.post(body, content_type=JSON, index=index_name)
        assert answer.status == 400, answer.body


@pytest.mark.parametrize("body", [b"{\n[]\n", b"[1,2]", b"7"], ids=["lines", "array", "number"])
@pytest.mark.parametrize("ack", list(ACKS))
def test_nothing_accepted_is_a_bad_request(
    body: bytes, ack: str, service: Service, index_name: str
) -> None:
    kind = NDJSON if b"\n" in body else JSON
    answer = service.post(body, content_type=kind, index=index_name, ack=ack)
    assert (answer.status, answer.json["accepted"], answer.json["errors"]) == (400, 0, True)
    assert len(answer.json["items"]) == answer.json["rejected"] > 0


@pytest.mark.parametrize(
    ("refused", "listed", "is_truncated"),
    [(999, 999, False), (1000, 1000, False), (1001, 1000, True), (20_000, 1000, True)],
)
def test_only_the_first_thousand_refused_are_listed(
    refused: int, listed: int, is_truncated: bool, service: Service, index_name: str
) -> None:
    content = service.post(b"{}\n" + b"x\n" * refused, index=index_name).json
    assert (content["received"], content["rejected"]) == (refused + 1, refused)
    assert [item["position"] for item in content["items"]] == list(range(1, listed + 1))
    assert content.get("items_truncated", False) is is_truncated


def test_documents_that_elasticsearch_refuses_are_listed_too(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.indices.create(index_name, {"mappings": {"properties": {"n": {"type": "long"}}}})
    body = b'{"n":0}\n{"n":"one"}\nx\n{"n":3}\n{"n":"four"}\n'
    answer = service.post(body, index=index_name, ack="indexed")
    content = answer.json
    assert (answer.status, content["received"], content["errors"]) == (200, 5, True)
    found = {item["position"]: (item["status"], item["error"]["type"]) for item in content["items"]}
    assert found == {
        1: (400, "document_parsing_exception"),
        2: (400, "malformed_json"),
        4: (400, "document_parsing_exception"),
    }
    assert stored(es, index_name) == [b'{"n":0}', b'{"n":3}']

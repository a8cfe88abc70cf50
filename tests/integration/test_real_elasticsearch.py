"""The service in front of a real Elasticsearch: what arrives is what was sent."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.numbered import lines
from tests.service import JSON, Service, is_balanced

LINES = [
    b'{"n":0,"big":18446744073709551616,"bigger":-123456789012345678901234567890}',
    b'{"n":1,"a":1e5,"b":1E-7,"c":-0,"d":-0.0,"e":1.0}',
    b'{"n":2,"a":0.1234567890123456789012345678901234567890}',
    b'{"z":1,"n":3,"a":2}',
    b'{"n":4,"a":"\\u00e4\\/\\"\\\\\\b\\f\\n\\r\\t\\ud83d\\ude00"}',
    '{"n":5,"ключ":"значение","漢":"字","é":"e\u0301"}'.encode(),
    b'  { "n" : 6 , "m" : [ 1 , { } , [ ] , null , true ]\t}  ',
    b'{"n":7,"a":"\xe2\x80\xa8\xf0\x9f\x98\x80\x7f"}',
]


@pytest.fixture(scope="module")
def service(elasticsearch_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("data")
    with Service(directory, elasticsearch_url, flush_interval_s=0.05) as running:
        yield running


@pytest.fixture
def index(elasticsearch_url: str, index_name: str) -> str:
    """An index that knows the field `n` only, whatever else documents hold."""
    properties = {"n": {"type": "long"}}
    mappings = {"dynamic": False, "properties": properties}
    settings = {"number_of_replicas": 0}
    ask(elasticsearch_url, "PUT", f"/{index_name}", {"mappings": mappings, "settings": settings})
    return index_name


def ask(url: str, method: str, path: str, body: object = None) -> bytes:
    """The answer of the node itself. Raises HTTPError."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"content-type": JSON}
    request = urllib.request.Request(f"{url}{path}", content, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: bytes = answer.read()
    return found


def hits(url: str, index: str) -> list[dict[str, Any]]:
    """All documents by their number, after a refresh."""
    ask(url, "POST", f"/{index}/_refresh")
    answer = json.loads(ask(url, "GET", f"/{index}/_search?size=1000&sort=n"))
    found: list[dict[str, Any]] = answer["hits"]["hits"]
    return found


def source(url: str, index: str, id: str) -> bytes:
    """The bytes of `_source` as they are stored."""
    return ask(url, "GET", f"/{index}/_source/{id}")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"".join(line + b"\n" for line in LINES), "application/x-ndjson"),
        (b"".join(line + b"\r\n" for line in LINES), "application/x-ndjson"),
        (b"[%b]" % b",".join(LINES), JSON),
    ],
    ids=["lines", "carriage_returns", "array"],
)
def test_source_is_what_was_sent_byte_for_byte(
    body: bytes, content_type: str, service: Service, elasticsearch_url: str, index: str
) -> None:
    answer = service.post(body, content_type=content_type, index=index, ack="indexed")
    assert (answer.status, answer.json["items"]) == (200, [])
    found = [source(elasticsearch_url, index, hit["_id"]) for hit in hits(elasticsearch_url, index)]
    assert [each.strip() for each in found] == [line.strip() for line in LINES]


def test_documents_can_be_got_when_the_indexed_answer_comes(
    service: Service, elasticsearch_url: str, index: str
) -> None:
    assert service.post(lines(range(500)), index=index, ack="indexed").status == 200
    assert [hit["_source"]["n"] for hit in hits(elasticsearch_url, index)] == list(range(500))


def test_default_target_gets_documents_with_a_timestamp(
    service: Service, elasticsearch_url: str, index_name: str
) -> None:
    dataset = index_name.replace("-", "_")
    body = b'{"n":1,"data_stream":{"dataset":"%b"}}\n' % dataset.encode()
    assert service.post(body, ack="indexed").status == 200
    (hit,) = hits(elasticsearch_url, f"logs-{dataset}-default")
    assert hit["_source"].keys() == {"@timestamp", "n", "data_stream"}


def test_document_that_does_not_fit_is_a_dead_letter_and_its_neighbours_are_indexed(
    service: Service, elasticsearch_url: str, index: str
) -> None:
    body = b'{"n":0}\n{"n":"zero"}\n{"n":2}\n'
    answer = service.post(body, index=index, ack="indexed")
    assert (answer.status, answer.json["errors"]) == (200, True)
    (item,) = answer.json["items"]
    assert (item["position"], item["status"]) == (1, 400)
    assert item["error"]["type"] == "document_parsing_exception"
    assert [hit["_source"]["n"] for hit in hits(elasticsearch_url, index)] == [0, 2]
    (letter,) = [each for each in service.dead_letters() if each["target"] == index]
    assert letter["document"] == {"n": "zero"}


def test_blocked_index_gets_its_documents_when_the_block_is_lifted(
    service: Service, elasticsearch_url: str, index: str
) -> None:
    def block(is_blocked: bool) -> None:
        ask(elasticsearch_url, "PUT", f"/{index}/_settings", {"index.blocks.write": is_blocked})

    block(True)
    try:
        assert service.post(b'{"n":1}\n{"n":2}\n', index=index).status == 202
        assert service.post(b'{"n":3}\n', index=f"{index}-free", ack="indexed").status == 200
        assert hits(elasticsearch_url, index) == []
    finally:
        block(False)
    service.wait_until_settled()
    assert [hit["_source"]["n"] for hit in hits(elasticsearch_url, index)] == [1, 2]


def test_elasticsearch_is_seen(service: Service) -> None:
    service.wait_until(lambda: service.status()["elasticsearch"]["reachable"] is not None)
    assert service.status()["elasticsearch"]["reachable"] is True


def test_accounting_law_holds_in_the_end(service: Service) -> None:
    assert is_balanced(service.wait_until_settled())

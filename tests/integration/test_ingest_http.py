"""`POST /ingest` as producers see it: bodies, connections, targets, ack levels, answers, errors.

One service and one scripted Elasticsearch for all tests; each writes to an index of its own.
"""

import contextlib
import gzip
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.http_client import (
    RawClient,
    chunked_head,
    chunks,
    head,
    pieces_of,
    post,
    request,
)
from tests.service import JSON, NDJSON, Answer, Service

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TWO = [b'{"n":1}', b'{"n":2}']
ACKS = {"memory": 202, "durable": 202, "indexed": 200}
each_ack = pytest.mark.parametrize(("ack", "status"), ACKS.items(), ids=list(ACKS))
DEFAULT_TARGET = "logs-generic-default"
BUFFER_BYTES = 256 * 1024


@pytest.fixture(scope="module")
def es() -> Iterator[ScriptedElasticsearch]:
    with ScriptedElasticsearch() as node:
        yield node


@pytest.fixture(scope="module")
def service(
    es: ScriptedElasticsearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("data"),
        es.url,
        flush_interval_s=0.01,
        max_document_bytes=128 * 1024,
        buffer_bytes=BUFFER_BYTES,
    ) as running:
        yield running


def stored(es: ScriptedElasticsearch, index: str) -> list[bytes]:
    return list(es.sources(index).values())


# bodies


@dataclass(frozen=True)
class Body:
    id: str
    content: bytes
    sources: list[bytes]
    content_type: str = NDJSON


BODIES = [
    Body("line_feeds", b'{"n":1}\n{"n":2}\n', TWO),
    Body("carriage_returns", b'{"n":1}\r\n{"n":2}\r\n', TWO),
    Body("no_last_line_break", b'{"n":1}\n{"n":2}', TWO),
    Body("carriage_return_at_the_end", b'{"n":1}\r\n{"n":2}\r', TWO),
    Body("blank_lines", b'\n\r\n{"n":1}\n  \n\n\t\r\n{"n":2}\n\n \n', TWO),
    Body("one_line", b'{"n":1}', [b'{"n":1}']),
    Body("type_with_parameter", b'{"n":1}\n{"n":2}\n', TWO, "Application/X-NDJSON; charset=utf-8"),
    Body("jsonl", b'{"n":1}\n{"n":2}\n', TWO, "application/jsonl"),
    Body("object", b'{"n":1}', [b'{"n":1}'], JSON),
    Body("pretty_object", b'{\n  "n": 1,\r\n  "m": []\n}\n', [b'{   "n": 1,    "m": [] }'], JSON),
    Body("array", b'[{"n":1},{"n":2}]', TWO, JSON),
    Body("array_of_one", b' [ {"n":1} ] \n', [b'{"n":1}'], JSON),
    Body("pretty_array", b'[\n {\n"n":1},\n\n {"n":2\n}\n]\n', [b'{ "n":1}', b'{"n":2 }'], JSON),
    Body("text_with_escapes", b'{"n":"\\n\\u00e4\\\\"}\n', [b'{"n":"\\n\\u00e4\\\\"}']),
]
ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "several gzip members": lambda body: b"".join(map(gzip.compress, pieces_of(body, 3))),
    "zstd": zstd.compress,
    "several zstd frames": lambda body: b"".join(map(zstd.compress, pieces_of(body, 3))),
}
each_body = pytest.mark.parametrize("body", BODIES, ids=[body.id for body in BODIES])


@each_body
@pytest.mark.parametrize("encoding", [None, *ENCODERS], ids=str)
def test_body_of_each_shape_and_encoding_is_indexed(
    body: Body,
    encoding: str | None,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    content, headers = body.content, {}
    if encoding is not None:
        content = ENCODERS[encoding](content)
        headers = {"content-encoding": "zstd" if "zstd" in encoding else "gzip"}
    answer = service.post(
        content, content_type=body.content_type, headers=headers, index=index_name, ack="indexed"
    )
    assert (answer.status, answer.json["received"]) == (200, len(body.sources))
    assert stored(es, index_name) == body.sources


def send_whole(client: RawClient, target: str, body: Body) -> None:
    client.send(request("POST", target, body.content, {"content-type": body.content_type}))


def send_byte_by_byte(client: RawClient, target: str, body: Body) -> None:
    content = request("POST", target, body.content, {"content-type": body.content_type})
    client.send(content, piece_bytes=1, pause_s=0.0002)


def send_chunks_of_one_byte(client: RawClient, target: str, body: Body) -> None:
    client.send(chunked_head(target, {"content-type": body.content_type}))
    client.send(chunks(pieces_of(body.content, 1)))


def send_chunks_byte_by_byte(client: RawClient, target: str, body: Body) -> None:
    client.send(chunked_head(target, {"content-type": body.content_type}))
    client.send(chunks(pieces_of(body.content, 5)), piece_bytes=1, pause_s=0.0002)


def send_after_continue(client: RawClient, target: str, body: Body) -> None:
    headers = {"content-type": body.content_type, "expect": "100-continue"}
    client.send(head("POST", target, headers | {"content-length": str(len(body.content))}))
    assert client.read_answer().status == 100
    client.send(body.content)


def send_chunks_after_continue(client: RawClient, target: str, body: Body) -> None:
    client.send(chunked_head(target, {"content-type": body.content_type, "expect": "100-continue"}))
    assert client.read_answer().status == 100
    client.send(chunks([body.content]))


def send_without_waiting_for_continue(client: RawClient, target: str, body: Body) -> None:
    headers = {"content-type": body.content_type, "expect": "100-continue"}
    client.send(request("POST", target, body.content, headers))


def send_and_half_close(client: RawClient, target: str, body: Body) -> None:
    send_whole(client, target, body)
    client.end_sending()


@each_body
@pytest.mark.parametrize(
    "send",
    [
        send_whole,
        send_byte_by_byte,
        send_chunks_of_one_byte,
        send_chunks_byte_by_byte,
        send_after_continue,
        send_chunks_after_continue,
        send_without_waiting_for_continue,
        send_and_half_close,
    ],
)
def test_body_arrives_whichever_way_it_is_sent(
    body: Body,
    send: Callable[[RawClient, str, Body], None],
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    with RawClient(service.url) as client:
        send(client, f"/ingest?index={index_name}&ack=indexed", body)
        answer = client.read_answer()
    assert (answer.status, answer.json["received"]) == (200, len(body.sources))
    assert stored(es, index_name) == body.sources


@pytest.mark.parametrize(
    "line",
    [
        b'{"n":18446744073709551616}',
        b'{"n":-9223372036854775809,"m":123456789012345678901234567890}',
        b'{"n":1e5,"m":1E-7,"o":-0,"p":-0.0,"q":1.0}',
        b'{"n":0.1234567890123456789012345678901234567890}',
        b'{"z":1,"a":2,"m":3,"a":4}',
        b'{"n":"\\u00e4\\/\\"\\\\\\b\\f\\n\\r\\t","\\u0061":1}',
        b'{"n":"\\ud83d\\ude00","m":"\xf0\x9f\x98\x80"}',
        '{"ключ":"значение","漢":"字","é":"e\u0301"}'.encode(),
        b'  { "n" : [ 1 , 2 , { } , [ ] , null , true ]\t}  ',
        b'{"n":"\xe2\x80\xa8\xe2\x80\xa9\x7f"}',
    ],
    ids=[
        *("over_64_bits", "big_integers", "exponents", "long_decimals", "key_order"),
        *("escapes", "surrogate_pair", "other_scripts", "spaces", "line_separators"),
    ],
)
@pytest.mark.parametrize("as_array", [False, True], ids=["line", "array"])
def test_document_arrives_byte_for_byte(
    line: bytes, as_array: bool, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    body = b"[%b,%b]" % (line, line) if as_array else line + b"\n" + line + b"\n"
    kind = JSON if as_array else NDJSON
    answer = service.post(body, content_type=kind, index=index_name, ack="indexed")
    assert answer.status == 200
    expected = line.strip() if as_array else line
    assert stored(es, index_name) == [expected, expected]


# connections


@pytest.mark.parametrize("ack", list(ACKS))
@pytest.mark.parametrize("piece_bytes", [None, 1, 100], ids=["at_once", "bytewise", "by_100"])
def test_pipelined_posts_are_answered_in_order(
    ack: str, piece_bytes: int | None, service: Service, index_name: str
) -> None:
    target = f"/ingest?index={index_name}&ack={ack}"
    posts = [post(target, b'{"n":1}\n' * count) for count in range(1, 9)]
    with RawClient(service.url) as client:
        client.send(b"".join(posts), piece_bytes=piece_bytes)
        received = [client.read_answer().json["received"] for _ in posts]
    assert received == list(range(1, 9))


def test_connection_is_kept_for_the_next_post(service: Service, index_name: str) -> None:
    with RawClient(service.url) as client:
        for count in range(1, 4):
            client.send(post(f"/ingest?index={index_name}", b'{"n":1}\n' * count))
            answer = client.read_answer()
            assert (answer.status, answer.json["received"]) == (202, count)
            assert "connection" not in answer.headers


OK, NOT_HERE, NOT_FOUND = 202, 405, 404
GOOD = post("/ingest", b'{"n":1}\n')
CHUNKED = chunked_head("/ingest") + chunks([b'{"n":1}\n'])
FLAWED = post("/ingest", b"{\n")
DAMAGED = post("/ingest", b"no gzip", {"content-encoding": "gzip"})
ANOTHER_TYPE = post("/ingest", b"<a/>", {"content-type": "text/xml"})
GET = request("GET", "/ingest")
PUT = request("PUT", "/ingest", b'{"n":1}\n', {"content-type": NDJSON})
ELSEWHERE = post("/elsewhere", b'{"n":1}\n')
CHUNKED_ELSEWHERE = chunked_head("/elsewhere") + chunks([b'{"n":1}\n'])
BROKEN_ARRAY = request("POST", "/ingest", b'[{"n":1}', {"content-type": JSON})
CONVERSATIONS: dict[str, list[tuple[bytes, int]]] = {
    "get_then_post": [(GET, NOT_HERE), (GOOD, OK)],
    "post_then_get": [(GOOD, OK), (GET, NOT_HERE)],
    "put_then_post": [(PUT, NOT_HERE), (GOOD, OK)],
    "elsewhere_then_post": [(ELSEWHERE, NOT_FOUND), (GOOD, OK), (ELSEWHERE, NOT_FOUND), (GOOD, OK)],
    "flawed_then_post": [(FLAWED, 400), (GOOD, OK)],
    "damaged_then_post": [(DAMAGED, 400), (GOOD, OK)],
    "other_type_then_post": [(ANOTHER_TYPE, 415), (GOOD, OK)],
    "broken_array_then_post": [(BROKEN_ARRAY, 400), (GOOD, OK)],
    "unknown_route_then_post": [(post("/ingest/unknown", b"{}\n"), NOT_FOUND), (GOOD, OK)],
    "chunked_then_post": [(CHUNKED, OK), (GOOD, OK), (CHUNKED, OK), (CHUNKED, OK)],
    "chunked_then_get": [(CHUNKED, OK), (GET, NOT_HERE), (CHUNKED, OK)],
    "line_break_before_post": [(GOOD, OK), (b"\r\n" + GOOD, OK)],
}
REFUSED_EARLY = {"other_type_then_post", "unknown_route_then_post", "damaged_then_post"}
IN_PIECES = [name for name in CONVERSATIONS if name not in REFUSED_EARLY]  # else they are closed
each_conversation = pytest.mark.parametrize(
    ("name", "piece_bytes"),
    [(name, None) for name in CONVERSATIONS] + [(name, n) for name in IN_PIECES for n in (1, 50)],
)


@each_conversation
def test_connection_serves_mixed_requests_one_after_the_other(
    name: str, piece_bytes: int | None, service: Service
) -> None:
    conversation = CONVERSATIONS[name]
    with RawClient(service.url) as client:
        statuses = []
        for content, _ in conversation:
            client.send(content, piece_bytes=piece_bytes)
            statuses.append(client.read_answer().status)
    assert statuses == [status for _, status in conversation]


@each_conversation
def test_connection_serves_mixed_requests_pipelined(
    name: str, piece_bytes: int | None, service: Service
) -> None:
    conversation = CONVERSATIONS[name]
    with RawClient(service.url) as client:
        client.send(b"".join(content for content, _ in conversation), piece_bytes=piece_bytes)
        statuses = [client.read_answer().status for _ in conversation]
    assert statuses == [status for _, status in conversation]


def test_chunked_body_elsewhere_is_answered(service: Service) -> None:
    with RawClient(service.url) as client:
        client.send(CHUNKED_ELSEWHERE)
        assert client.read_answer().status == NOT_FOUND


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (post("/ingest", b'{"n":1}\n', {"connection": "close"}), 202),
        (request("POST", "/ingest", b"{}\n", {"content-type": NDJSON}, version="1.0"), 202),
        (request("GET", "/ingest", headers={"connection": "close"}), 405),
    ],
    ids=["asked_for", "http_1_0", "get"],
)
def test_connection_is_closed_after_the_answer_when_asked(
    content: bytes, status: int, service: Service
) -> None:
    with RawClient(service.url) as client:
        client.send(content)
        answer = client.read_answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.is_ended()


@pytest.mark.parametrize(
    "content",
    [post("/ingest?ack=indexed", b"{}\n"), CHUNKED, GET],
    ids=["indexed", "chunked", "get"],
)
def test_half_closed_connection_is_answered(content: bytes, service: Service) -> None:
    with RawClient(service.url) as client:
        client.send(content)
        client.end_sending()
        assert client.read_answer().status in (200, 202, 405)


@pytest.mark.parametrize(
    ("target", "status"),
    [("http://test/ingest", 202), ("/ing%65st", 202), ("/ingest/", 202), ("//test/ingest", 404)],
    ids=["absolute", "percent_encoded", "slash_at_the_end", "two_slashes"],
)
def test_target_may_be_spelled_in_other_ways(
    target: str, status: int, service: Service, index_name: str
) -> None:
    with RawClient(service.url) as client:
        client.send(post(f"{target}?index={index_name}", b"{}\n"))
        assert client.read_answer().status == status


# targets


@pytest.mark.parametrize(
    ("document", "query", "target"),
    [
        (b'{"n":1}', {}, DEFAULT_TARGET),
        (b'{"data_stream":{"dataset":"web"}}', {}, "logs-web-default"),
        (
            b'{"data_stream":{"type":"metrics","dataset":"disk","namespace":"prod"}}',
            {},
            "metrics-disk-prod",
        ),
        (b'{"data_stream.dataset":"dotted"}', {}, "logs-dotted-default"),
        (b'{"data_stream":{"dataset":"web"}}', {"index": "chosen"}, "chosen"),
    ],
    ids=["default", "dataset", "all_three", "dotted", "query_wins"],
)
def test_document_goes_to_its_target(
    document: bytes,
    query: dict[str, Any],
    target: str,
    service: Service,
    es: ScriptedElasticsearch,
) -> None:
    service.wait_until_settled()
    before = len(es.documents(target))
    assert service.post(document, ack="indexed", **query).status == 200
    assert len(es.documents(target)) == before + 1


STAMP = rb'"@timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"'


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"n":1e5}', rb"\{%b,\"n\":1e5\}" % STAMP),
        (b' { "n" : 1 }', rb" \{%b, \"n\" : 1 \}" % STAMP),
        (b"{}", rb"\{%b\}" % STAMP),
        (b"{ }", rb"\{%b \}" % STAMP),
        (b'{"a":{"@timestamp":1}}', rb"\{%b,\"a\":\{\"@timestamp\":1\}\}" % STAMP),
        (b'{"n":1,"@timestamp":"2024"}', rb"\{\"n\":1,\"@timestamp\":\"2024\"\}"),
        (b'{"@timestamp":null}', rb"\{\"@timestamp\":null\}"),
    ],
    ids=["missing", "spaces", "empty", "empty_with_space", "only_inside", "there", "null"],
)
@pytest.mark.parametrize("chosen", [False, True], ids=["by_document", "by_query"])
def test_timestamp_is_added_for_a_data_stream_where_the_document_has_none(
    document: bytes,
    expected: bytes,
    chosen: bool,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    target = f"logs-{index_name.replace('-', '_')}-default" if chosen else DEFAULT_TARGET
    query: dict[str, Any] = {"index": target} if chosen else {}
    service.wait_until_settled()
    assert service.post(document, ack="indexed", **query).status == 200
    assert re.fullmatch(expected, es.documents(target)[-1].source)


def test_document_for_a_plain_index_gets_no_timestamp(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    service.post(b'{}\n{"n":1}\n', index=index_name, ack="indexed")
    assert stored(es, index_name) == [b"{}", b'{"n":1}']


# ack levels


@pytest.mark.parametrize("way", ["query", "header", "upper_case"])
@each_ack
def test_ack_level_is_chosen_by_query_or_header(
    ack: str, status: int, way: str, service: Service, index_name: str
) -> None:
    level = ack.upper() if way == "upper_case" else ack
    query: dict[str, Any] = {} if way == "header" else {"ack": level}
    headers = {"Ingest-Ack": level} if way == "header" else {}
    answer = service.post(b"{}\n", headers=headers, index=index_name, **query)
    assert (answer.status, answer.json["ack"]) == (status, ack)


def test_default_ack_is_durable(service: Service, index_name: str) -> None:
    answer = service.post(b"{}\n", index=index_name)
    assert (answer.status, answer.json["ack"]) == (202, "durable")


def test_query_wins_over_header(service: Service, index_name: str) -> None:
    answer = service.post(
        b"{}\n", headers={"Ingest-Ack": "indexed"}, index=index_name, ack="memory"
    )
    assert (answer.status, answer.json["ack"]) == (202, "memory")


def test_documents_can_be_found_when_the_indexed_answer_comes(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    for count in range(1, 21):
        assert service.post(b"{}\n", index=index_name, ack="indexed").status == 200
        assert len(es.sources(index_name)) == count


@pytest.mark.parametrize("ack", ["memory", "durable"])
def test_documents_acked_before_they_are_indexed_arrive(
    ack: str, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    assert service.post(b"{}\n" * 500, index=index_name, ack=ack).status == 202
    es.wait_until(lambda: len(es.sources(index_name)) == 500)


# answers


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


# request errors


@dataclass(frozen=True)
class Refused:
    id: str
    content: bytes
    status: int
    type: str


GZIPPED = gzip.compress(b"{}\n" * 100)
REFUSALS = [
    Refused("no_document", post("/ingest", b""), 400, "empty_body"),
    Refused("only_blank_lines", post("/ingest", b"\n \r\n"), 400, "empty_body"),
    Refused(
        "empty_array", request("POST", "/ingest", b"[]", {"content-type": JSON}), 400, "empty_body"
    ),
    Refused("broken_array", BROKEN_ARRAY, 400, "malformed_json"),
    Refused("unknown_ack", post("/ingest?ack=later", b"{}\n"), 400, "invalid_ack"),
    Refused("empty_ack", post("/ingest?ack=", b"{}\n"), 400, "invalid_ack"),
    Refused("bad_index", post("/ingest?index=Upper", b"{}\n"), 400, "invalid_index_name"),
    Refused("empty_index", post("/ingest?index=", b"{}\n"), 400, "invalid_index_name"),
    Refused("hidden_index", post("/ingest?index=.kibana", b"{}\n"), 400, "invalid_index_name"),
    Refused("damaged_gzip", DAMAGED, 400, "damaged_body"),
    Refused(
        "cut_gzip",
        post("/ingest", GZIPPED[:-9], {"content-encoding": "gzip"}),
        400,
        "damaged_body",
    ),
    Refused(
        "damaged_zstd",
        post("/ingest", b"no zstd!", {"content-encoding": "zstd"}),
        400,
        "damaged_body",
    ),
    Refused("chunk_size", chunked_head("/ingest") + b"xyz\r\n", 400, "malformed_request"),
    Refused(
        "chunk_too_long",
        chunked_head("/ingest") + b"2\r\n{}\n}\r\n0\r\n\r\n",
        400,
        "malformed_request",
    ),
    Refused("not_http", b"ingest this please\r\n\r\n", 400, "malformed_request"),
    Refused("tls", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "malformed_request"),
    Refused(
        "two_lengths",
        head("POST", "/ingest", {"content-length": "3", "Content-Length": "4"}),
        400,
        "malformed_request",
    ),
    Refused(
        "length_and_chunked",
        chunked_head("/ingest", {"content-length": "3"}) + chunks([b"{}\n"]),
        400,
        "malformed_request",
    ),
    Refused(
        "negative_length",
        head("POST", "/ingest", {"content-type": NDJSON, "content-length": "-1"}),
        400,
        "malformed_request",
    ),
    Refused(
        "other_transfer_encoding",
        head("POST", "/ingest", {"content-type": NDJSON, "transfer-encoding": "gzip, chunked"}),
        400,
        "malformed_request",
    ),
    Refused("unknown_route", post("/ingest/unknown", b"{}\n"), 404, "not_found"),
    Refused("deeper_path", post("/ingest/a/b", b"{}\n"), 404, "not_found"),
    Refused("other_path", post("/elsewhere", b"{}\n"), 404, "not_found"),
    Refused("longer_path", post("/ingested", b"{}\n"), 404, "not_found"),
    Refused("root", request("GET", "/"), 404, "not_found"),
    Refused("get", GET, 405, "method_not_allowed"),
    Refused("put", PUT, 405, "method_not_allowed"),
    Refused("delete", request("DELETE", "/ingest"), 405, "method_not_allowed"),
    Refused("trace", request("TRACE", "/ingest"), 405, "method_not_allowed"),
    Refused("get_of_route", request("GET", "/ingest/any"), 405, "method_not_allowed"),
    Refused(
        "array_over_a_buffer",
        request("POST", "/ingest", b"[%b]" % (b" " * BUFFER_BYTES), {"content-type": JSON}),
        413,
        "body_too_large",
    ),
    Refused(
        "chunked_array_over_a_buffer",
        chunked_head("/ingest", {"content-type": JSON})
        + chunks([b"[", b" " * BUFFER_BYTES, b"{}]"]),
        413,
        "body_too_large",
    ),
    Refused(
        "no_type",
        request("POST", "/ingest", b"{}\n"),
        415,
        "unsupported_media_type",
    ),
    Refused("other_type", ANOTHER_TYPE, 415, "unsupported_media_type"),
    Refused(
        "other_encoding",
        post("/ingest", b"{}\n", {"content-encoding": "br"}),
        415,
        "unsupported_media_type",
    ),
    Refused(
        "two_encodings",
        post("/ingest", b"{}\n", {"content-encoding": "gzip, gzip"}),
        415,
        "unsupported_media_type",
    ),
    Refused("long_head", post("/ingest", b"{}\n", {"x": "y" * 40_000}), 431, "head_too_large"),
    Refused("endless_head", b"POST /ingest HTTP/1.1\r\nx: " + b"y" * 40_000, 431, "head_too_large"),
]


@pytest.mark.parametrize("refused", REFUSALS, ids=[each.id for each in REFUSALS])
def test_request_error_has_its_status_and_type(refused: Refused, service: Service) -> None:
    with RawClient(service.url) as client:
        client.send_what_is_taken(refused.content)
        answer = client.read_answer()
    assert answer.status == refused.status, answer.body
    assert is_error(answer, refused.type)


def is_error(answer: Answer, type: str) -> bool:
    """Whether it has exactly the shape of a request error, of this type."""
    content: dict[str, Any] = answer.json
    reason = content.get("error", {}).get("reason")
    expected = {"error": {"type": type, "reason": reason}, "status": answer.status}
    assert content == expected
    assert isinstance(reason, str)
    assert answer.headers["content-type"] == JSON
    return reason != ""


def test_wrong_method_names_the_right_one(service: Service) -> None:
    with RawClient(service.url) as client:
        client.send(GET)
        assert client.read_answer().headers["allow"] == "POST"


def test_refused_before_its_body_is_sent(service: Service) -> None:
    """A client that waits for `100 Continue` hears the refusal and can keep its body."""
    with RawClient(service.url) as client:
        headers = {"content-type": "text/xml", "content-length": "100", "expect": "100-continue"}
        client.send(head("POST", "/ingest", headers))
        assert client.read_answer().status == 415


def test_refused_sender_of_a_long_body_gets_to_read_the_answer(service: Service) -> None:
    """Closing with unread bytes would reset the connection and the answer with it."""
    body = b"<a/>" * (1 << 20)
    answer = service.post(body, content_type="text/xml")
    assert answer.status == 415


def test_refused_document_costs_no_other_connection_its_service(service: Service) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(service.url)) for _ in range(20)]
        for client in clients[::2]:
            client.send(b"\x00\xff\r\n\r\n")
        for client in clients[1::2]:
            client.send(GOOD)
        assert {client.read_answer().status for client in clients[1::2]} == {202}

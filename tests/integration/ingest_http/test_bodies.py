"""Bodies of each shape, sent whole, in pieces and compressed, arrive byte for byte."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.http_client import RawClient, chunked_head, chunks, head, pieces_of, request
from tests.integration.ingest_http.rig import stored
from tests.service import JSON, NDJSON, Service
from tests.zstd import zstd

TWO = [b'{"n":1}', b'{"n":2}']


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

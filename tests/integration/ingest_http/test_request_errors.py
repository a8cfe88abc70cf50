"""Requests that are refused as a whole: status, type, and what becomes of the connection."""

import contextlib
import gzip
from dataclasses import dataclass
from typing import Any

import pytest

from tests.http_client import RawClient, chunked_head, chunks, head, post, request
from tests.integration.ingest_http.rig import (
    ANOTHER_TYPE,
    BROKEN_ARRAY,
    BUFFER_BYTES,
    DAMAGED,
    GET,
    GOOD,
    PUT,
)
from tests.service import JSON, NDJSON, Answer, Service


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

"""Heads of requests: what they ask for, and what is refused for its head alone."""

import pytest

from ingest.errors import (
    MalformedRequest,
    NotFound,
    RequestError,
    UnsupportedMedia,
)
from ingest.head import ChunkedFraming, Head, HeadReader

NDJSON = "content-type: application/x-ndjson"


def raw(*headers: str, target: str = "/ingest", version: str = "1.1") -> bytes:
    lines = [f"POST {target} HTTP/{version}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def read(*headers: str, target: str = "/ingest", version: str = "1.1") -> Head:
    return HeadReader().read(raw(*headers, target=target, version=version))


def understood(*headers: str, target: str = "/ingest") -> Head:
    head = read(NDJSON, *headers, target=target)
    assert head.error is None
    return head


def refusal_of(head: Head) -> RequestError:
    assert head.error is not None
    return head.error


@pytest.mark.parametrize(
    ("target", "route_name"),
    [
        ("/ingest", None),
        ("/ingest/", None),
        ("/ingest?x=1", None),
        ("/ingest/web", "web"),
        ("/ingest/web?x=1", "web"),
        ("/ingest/w%C3%A9b", "wéb"),
        ("http://host:9280/ingest/web", "web"),
    ],
)
def test_the_path_names_the_route(target: str, route_name: str | None) -> None:
    assert understood(target=target).route_name == route_name


@pytest.mark.parametrize("target", ["/ingest/a/b", "/ingest/a%2Fb", "/ingest/a/", "/ingest//"])
def test_there_are_no_deeper_paths(target: str) -> None:
    assert isinstance(refusal_of(read(NDJSON, target=target)), NotFound)


def test_query_and_headers_are_kept_for_routing() -> None:
    head = understood("X-Team: Blue", target="/ingest?index=a-b&empty=&c=%C3%A9&d=1+2")
    assert head.query == {"index": "a-b", "empty": "", "c": "é", "d": "1 2"}
    assert head.headers["x-team"] == "Blue"


@pytest.mark.parametrize(
    ("content_type", "media"),
    [
        ("application/x-ndjson", "ndjson"),
        ("application/ndjson", "ndjson"),
        ("application/jsonl", "ndjson"),
        ("Application/X-NDJSON; charset=utf-8", "ndjson"),
        ("application/json", "json"),
        ("application/json ;charset=utf-8", "json"),
    ],
)
def test_media_that_are_read(content_type: str, media: str) -> None:
    assert read(f"content-type: {content_type}").media == media


@pytest.mark.parametrize("content_type", ["text/plain", "application/jsonx", "", "json"])
def test_other_media_are_refused(content_type: str) -> None:
    assert isinstance(refusal_of(read(f"content-type: {content_type}")), UnsupportedMedia)


def test_a_missing_media_type_is_named() -> None:
    assert "is missing" in refusal_of(read()).reason


@pytest.mark.parametrize(
    ("given", "encoding"),
    [("gzip", "gzip"), ("GZIP", "gzip"), ("x-gzip", "x-gzip"), ("zstd", "zstd"), ("identity", "")],
)
def test_encodings_that_are_read(given: str, encoding: str) -> None:
    assert understood(f"content-encoding: {given}").encoding == encoding


@pytest.mark.parametrize("given", ["br", "deflate", "gzip, zstd"])
def test_other_encodings_are_refused(given: str) -> None:
    head = read(NDJSON, f"content-encoding: {given}")
    assert isinstance(refusal_of(head), UnsupportedMedia)


def test_two_encodings_in_two_headers_are_not_one() -> None:
    head = read(NDJSON, "content-encoding: zstd", "content-encoding: gzip")
    assert isinstance(refusal_of(head), UnsupportedMedia)


@pytest.mark.parametrize(
    ("headers", "target", "ack"),
    [
        ([], "/ingest", None),
        (["ingest-ack: indexed"], "/ingest", "indexed"),
        (["Ingest-Ack: Memory"], "/ingest", "memory"),
        ([], "/ingest?ack=durable", "durable"),
        (["ingest-ack: memory"], "/ingest?ack=indexed", "indexed"),
    ],
)
def test_the_ack_level_is_in_the_query_or_a_header(
    headers: list[str], target: str, ack: str | None
) -> None:
    assert understood(*headers, target=target).ack == ack


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        pytest.param([], "/ingest?ack=never", id="unknown"),
        pytest.param([], "/ingest?ack=", id="empty"),
        pytest.param(["ingest-ack: memory"], "/ingest?ack=", id="empty beside a header"),
        pytest.param(["ingest-ack: never"], "/ingest", id="unknown in a header"),
        pytest.param(["ingest-ack: "], "/ingest", id="empty in a header"),
    ],
)
def test_other_ack_levels_are_refused(headers: list[str], target: str) -> None:
    error = refusal_of(read(NDJSON, *headers, target=target))
    assert (error.status, error.kind) == (400, "invalid_ack")
    assert "memory, durable, indexed" in error.reason


@pytest.mark.parametrize(
    ("headers", "length"),
    [([], 0), (["content-length: 0"], 0), (["content-length: 12345678901"], 12345678901)],
)
def test_content_length(headers: list[str], length: int) -> None:
    assert understood(*headers).content_length == length


@pytest.mark.parametrize("value", ["chunked", "Chunked"])
def test_a_chunked_body_has_no_length(value: str) -> None:
    assert understood(f"transfer-encoding: {value}").content_length is None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["content-length: -1"], id="negative"),
        pytest.param(["content-length: +1"], id="signed"),
        pytest.param(["content-length: 1x"], id="no number"),
        pytest.param(["content-length: "], id="empty"),
        pytest.param(["content-length: 99999999999999999999999"], id="too large"),
        pytest.param(["content-length: 5", "content-length: 5"], id="twice"),
        pytest.param(["content-length: 5", "transfer-encoding: chunked"], id="both"),
        pytest.param(["transfer-encoding: gzip, chunked"], id="compressed transfer"),
        pytest.param(["transfer-encoding: gzip", "transfer-encoding: chunked"], id="in two"),
        pytest.param(["transfer-encoding: identity"], id="identity"),
        pytest.param(["no colon"], id="no header"),
        pytest.param([" folded: x"], id="folded"),
    ],
)
def test_framing_that_is_not_clear_is_refused(headers: list[str]) -> None:
    with pytest.raises(MalformedRequest):
        read(NDJSON, *headers)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"POST",
        b"POST /ingest HTTP/9.9",
        b"BREW /ingest HTTP/1.1",
        b"CONNECT host:443 HTTP/1.1",
        b"\x16\x03\x01\x02",
        b"POST \xff HTTP/1.1",
    ],
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(MalformedRequest):
        HeadReader().read(line + b"\r\n\r\n")


def test_a_target_without_a_path_is_the_root() -> None:
    assert read(NDJSON, target="http://host").path == "/"


@pytest.mark.parametrize(
    ("headers", "version", "keep_alive"),
    [
        ([], "1.1", True),
        (["connection: close"], "1.1", False),
        ([], "1.0", False),
        (["connection: keep-alive"], "1.0", True),
    ],
)
def test_connections_stay_open_as_asked(headers: list[str], version: str, keep_alive: bool) -> None:
    head = read(NDJSON, "content-length: 5", *headers, version=version)
    assert head.keep_alive is keep_alive


def test_continue_is_expected_only_where_asked() -> None:
    assert understood("expect: 100-Continue").expects_continue
    assert not understood().expects_continue


UPGRADE = ["connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABk"]


def test_an_offer_to_upgrade_is_not_taken() -> None:
    assert understood(*UPGRADE, "content-length: 5").content_length == 5


# Heads that were seen before


def test_a_known_head_is_not_read_again() -> None:
    reader = HeadReader()
    head = reader.read(raw(NDJSON))
    assert reader.read(raw(NDJSON)) is head
    assert reader.read(raw(NDJSON, "x: 1")) is not head


def test_a_refusal_that_is_kept_holds_no_frames() -> None:
    refusal = refusal_of(HeadReader().read(raw()))
    assert refusal.__traceback__ is None
    with pytest.raises(UnsupportedMedia, match="content-type is missing") as raised:
        raise refusal.anew()
    assert raised.value.kind == refusal.kind
    assert refusal.__traceback__ is None


def test_what_is_known_is_bounded() -> None:
    reader = HeadReader()
    for number in range(2000):
        reader.read(raw(NDJSON, f"x: {number}"))
    reader.read(raw(NDJSON, "x: " + "y" * 5000))
    assert len(reader._known) <= 512
    assert max(map(len, reader._known)) <= 2048


# Chunked framing

CHUNKED = b"5\r\nhello\r\n6;x=y\r\n world\r\n00\r\nTrailer: x\r\n\r\n"
NEXT = b"POST /ingest HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("behind", [b"", NEXT], ids=["alone", "another behind"])
def test_chunks_are_taken_apart_however_they_arrive(step: int, behind: bytes) -> None:
    framing = ChunkedFraming()
    pieces: list[bytes] = []
    rest = b""
    content = CHUNKED + behind
    for start in range(0, len(content), step):
        if framing.is_complete:
            rest += content[start : start + step]
            continue
        more, rest = framing.feed(content[start : start + step])
        pieces += more
    assert framing.is_complete
    assert b"".join(pieces) == b"hello world"
    assert rest == behind


@pytest.mark.parametrize("place", range(len(CHUNKED)))
def test_a_cut_chunked_body_is_not_complete(place: int) -> None:
    framing = ChunkedFraming()
    _, rest = framing.feed(CHUNKED[:place])
    assert (framing.is_complete, rest) == (False, b"")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"x\r\n", id="no number"),
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b"-1\r\n", id="negative"),
        pytest.param(b"0x5\r\n", id="prefix"),
        pytest.param(b" 5\r\n", id="space before"),
        pytest.param(b"f" * 17 + b"\r\n", id="too large"),
        pytest.param(b"5\r\nhello!", id="longer than it says"),
        pytest.param(b"5\r\nhello00\r\n\r\n", id="no line break behind"),
        pytest.param(b"5\nhello\n0\n\n" * 500, id="bare line feeds"),
        pytest.param(b"5;" + b"x" * 10_000, id="endless extension"),
        pytest.param(b"0\r\nTrailer: " + b"x" * 10_000, id="endless trailer"),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_broken_framing_is_refused(body: bytes, step: int) -> None:
    with pytest.raises(MalformedRequest):
        feed_in_steps(body, step)


def feed_in_steps(body: bytes, step: int) -> None:
    framing = ChunkedFraming()
    for start in range(0, len(body), step):
        framing.feed(body[start : start + step])


def test_an_empty_chunked_body_is_complete() -> None:
    framing = ChunkedFraming()
    assert framing.feed(b"0\r\n\r\n") == ([], b"")
    assert framing.is_complete

"""The head of a `POST /ingest` request: read by llhttp (httptools), checked, and understood.

Producers repeat themselves: a head that was seen before costs one look into a bounded dict.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, get_args
from urllib.parse import parse_qsl, unquote

import httptools

from ingest.decompression import ENCODINGS
from ingest.errors import MalformedRequest, NotFound, RequestError, UnsupportedMedia
from ingest.model import Ack

Media = Literal["ndjson", "json"]

_NDJSON = {"application/x-ndjson", "application/ndjson", "application/jsonl"}
_ACKS = get_args(Ack)
_KNOWN_HEADS_MAX = 512  # with the next one, at most 1 MiB
_KNOWN_HEAD_BYTES_MAX = 2048
_CHUNK_LINE_BYTES_MAX = 4096
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?")


@dataclass(slots=True, frozen=True, eq=False)
class Head:
    """What a request asks for. `content_length` is None for a chunked body.

    `error` refuses the request (raise it `anew`); framing is known all the same.
    """

    method: str
    path: str
    route_name: str | None
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content_length: int | None
    expects_continue: bool
    keep_alive: bool
    media: Media
    encoding: str
    ack: Ack | None
    error: RequestError | None

    @property
    def is_hot(self) -> bool:
        """Whether it is a POST of documents, however its target is spelled."""
        is_ingest = self.path == "/ingest" or self.path.startswith("/ingest/")
        return self.method == "POST" and is_ingest


class HeadReader:
    """Reads heads of `POST /ingest…` requests; keeps what it understood of the last ones."""

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def read(self, raw: bytes) -> Head:
        """`raw` is a complete head with its blank line. Raises MalformedRequest."""
        head = self._known.get(raw)
        if head is None:
            head = _read(raw)
            if len(self._known) >= _KNOWN_HEADS_MAX:
                self._known.clear()
            if len(raw) <= _KNOWN_HEAD_BYTES_MAX:
                self._known[raw] = head
        return head


class ChunkedFraming:
    """Takes `Transfer-Encoding: chunked` apart (RFC 9112, section 7.1), as strictly as llhttp.

    By hand, because httptools does not tell where a body ends, and another request may follow.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self._next = _Next.SIZE
        self._left = 0  # of the present chunk
        self._line = b""  # the start of a line whose end has not arrived

    def feed(self, received: bytes) -> tuple[list[bytes], bytes]:
        """The pieces of the body, and what comes after its end. Raises MalformedRequest."""
        content, at = self._line + received, 0
        self._line = b""
        pieces = []
        while at < len(content) and not self.is_complete:
            if self._left:
                pieces.append(piece := content[at : at + self._left])
                self._left -= len(piece)
                at += len(piece)
                continue
            end = content.find(b"\r\n", at, at + _CHUNK_LINE_BYTES_MAX)
            if end < 0:
                self._keep_line(content[at:])
                return pieces, b""
            self._take_line(content[at:end])
            at = end + 2
        return pieces, content[at:]

    def _keep_line(self, line: bytes) -> None:
        if len(line) >= _CHUNK_LINE_BYTES_MAX or (self._next is _Next.END and line != b"\r"):
            raise MalformedRequest("the chunked framing is broken: a line has no end")
        self._line = line

    def _take_line(self, line: bytes) -> None:
        if self._next is _Next.SIZE:
            found = _CHUNK_SIZE.fullmatch(line)
            if found is None:
                raise MalformedRequest("the chunked framing is broken: no size of a chunk")
            self._left = int(found.group(1), 16)
            self._next = _Next.END if self._left else _Next.TRAILER
        elif self._next is _Next.TRAILER:
            self.is_complete = not line
        elif line:
            raise MalformedRequest("the chunked framing is broken: a chunk is longer than it says")
        else:
            self._next = _Next.SIZE


class _Next(Enum):
    """What the next line of a chunked body is."""

    SIZE = auto()
    END = auto()  # of a chunk's bytes
    TRAILER = auto()


class _Callbacks:
    """What llhttp found, in order."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A repeated header counts as one with all its values (RFC 9110, 5.3)."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text


def _read(raw: bytes) -> Head:
    found = _Callbacks()
    parser = httptools.HttpRequestParser(found)
    try:
        with contextlib.suppress(httptools.HttpParserUpgrade):  # offered (h2c), not taken
            parser.feed_data(raw)
        url = httptools.parse_url(found.url)
    except httptools.HttpParserError as error:
        raise MalformedRequest(f"not a valid HTTP request: {error}") from error
    headers = found.headers
    path = unquote((url.path or b"/").decode("latin-1"))
    query = dict(parse_qsl((url.query or b"").decode("latin-1"), keep_blank_values=True))
    is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    if "transfer-encoding" in headers and not is_chunked:
        raise MalformedRequest(
            f"transfer-encoding {headers['transfer-encoding']!r} is not read; send chunked"
        )
    route_name, media, encoding, ack, refusal = _understand(path, query, headers)
    return Head(
        method=parser.get_method().decode("latin-1"),
        path=path,
        route_name=route_name,
        query=query,
        headers=headers,
        content_length=None if is_chunked else int(headers.get("content-length", "0")),
        expects_continue=headers.get("expect", "").lower() == "100-continue",
        keep_alive=bool(parser.should_keep_alive()),
        media=media,
        encoding=encoding,
        ack=ack,
        error=refusal,
    )


def _understand(
    path: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> tuple[str | None, Media, str, Ack | None, RequestError | None]:
    try:
        route_name = _route_name(path)
        media = _media(headers.get("content-type", ""))
        encoding = _encoding(headers.get("content-encoding", ""))
        ack = _ack(query.get("ack", headers.get("ingest-ack")))
    except RequestError as refusal:
        return None, "ndjson", "", None, refusal.anew()
    return route_name, media, encoding, ack, None


def _route_name(path: str) -> str | None:
    name = path.removeprefix("/ingest").removeprefix("/")
    if "/" in name:
        raise NotFound(f"no such path: {path}; documents go to /ingest or /ingest/ROUTE")
    return name or None


def _media(content_type: str) -> Media:
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _NDJSON:
        return "ndjson"
    if kind == "application/json":
        return "json"
    raise UnsupportedMedia(
        f"content-type {kind or 'is missing'}: send application/x-ndjson (one document a line) "
        "or application/json (one object or an array of objects)"
    )


def _encoding(content_encoding: str) -> str:
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        return ""
    if encoding in ENCODINGS:
        return encoding
    raise UnsupportedMedia(f"content-encoding {encoding}: send gzip, zstd or none")


def _ack(level: str | None) -> Ack | None:
    if level is None:
        return None
    for ack in _ACKS:
        if ack == level.lower():
            return ack  # type: ignore[no-any-return]
    raise RequestError(f"ack {level!r}: choose one of {', '.join(_ACKS)}", type="invalid_ack")

"""HTTP/1.1 as far as a scripted server needs it, by hand on asyncio streams.

Real libraries refuse to do what a failing server does: to reset a connection inside a body, to
cut an answer, to wait in the middle of one. Here a request is read in two steps, head and body,
so that a script can act in between.
"""

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl, unquote

READ_BYTES = 1 << 20
REASONS = {413: "Request Entity Too Large"}  # as the server says it; Python's names are newer


class Unreadable(Exception):
    """The body can not be decoded; a real node closes the connection without an answer."""


class TooLarge(Exception):
    """The body exceeds the limit. A node ends the connection unless it knew from the length."""

    def __init__(self, *, connection_ends: bool):
        super().__init__("request body too large")
        self.connection_ends = connection_ends


@dataclass(slots=True, frozen=True)
class Head:
    """Request line and headers; header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def is_chunked(self) -> bool:
        return self.headers.get("transfer-encoding", "").lower() == "chunked"

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", 0))

    @property
    def is_gzip(self) -> bool:
        return self.headers.get("content-encoding", "").lower() == "gzip"


@dataclass(slots=True, frozen=True)
class Body:
    """A request body: decoded `content`, and its size as it came over the wire."""

    content: bytes
    wire_bytes: int


@dataclass(slots=True, frozen=True)
class Answer:
    """One HTTP answer, its body not yet compressed."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Reads up to the blank line; None when the peer has gone."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    request_line, *lines = text[:-4].split("\r\n")
    method, uri, _ = request_line.split(" ")
    path, _, query = uri.partition("?")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return Head(method, unquote(path), dict(parse_qsl(query, keep_blank_values=True)), headers)


async def read_body(
    head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_max: int
) -> Body:
    """Reads and decodes the body. Raises TooLarge, Unreadable, IncompleteReadError."""
    if head.headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if not head.is_chunked and head.length > bytes_max:
        await _discard(reader, head.length)
        raise TooLarge(connection_ends=False)
    wire = await (_read_chunks(reader, bytes_max) if head.is_chunked else _read(reader, head))
    content = _gunzip(wire, bytes_max) if head.is_gzip else wire
    return Body(content, len(wire))


def reset(writer: asyncio.StreamWriter) -> Literal[False]:
    """Ends the connection with RST: the peer loses what it has not read yet. It can't go on."""
    peer = writer.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def encode_answer(answer: Answer, method: str = "GET", *, compress: bool = False) -> bytes:
    """The answer's bytes; a HEAD answer has the length of its body, but not the body."""
    body, headers = answer.body, dict(answer.headers)
    if compress and body:
        body = gzip.compress(body, compresslevel=1)
        headers["content-encoding"] = "gzip"
    headers["content-length"] = str(len(body))
    reason = REASONS.get(answer.status) or HTTPStatus(answer.status).phrase
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if method == "HEAD" else head + body


async def _read(reader: asyncio.StreamReader, head: Head) -> bytes:
    return await reader.readexactly(head.length)


async def _discard(reader: asyncio.StreamReader, length: int) -> None:
    while length > 0:
        part = await reader.read(min(length, READ_BYTES))
        if not part:
            raise asyncio.IncompleteReadError(b"", length)
        length -= len(part)


async def _read_chunks(reader: asyncio.StreamReader, bytes_max: int) -> bytes:
    """Reads to the end even past the limit: unread bytes would turn the close into a reset."""
    wire, wire_bytes = bytearray(), 0
    while True:
        size = int((await reader.readline()).split(b";")[0] or b"0", 16)
        chunk = await reader.readexactly(size)
        await reader.readline()
        wire_bytes += size
        if wire_bytes <= bytes_max:
            wire += chunk
        if size == 0 and wire_bytes > bytes_max:
            raise TooLarge(connection_ends=True)
        if size == 0:
            return bytes(wire)


def _gunzip(wire: bytes, bytes_max: int) -> bytes:
    decoder = zlib.decompressobj(wbits=31)
    try:
        content = decoder.decompress(wire, bytes_max + 1)
    except zlib.error as error:
        raise Unreadable from error
    if len(content) > bytes_max:
        raise TooLarge(connection_ends=True)
    if not decoder.eof:
        raise Unreadable
    return content

"""The null sink: an Elasticsearch that counts documents and keeps none, as cheaply as Python can.

It never looks at a document: a bulk request holds one document for every two line breaks, and each
gets a 201 with the action of the first line. So `delete` (one line), `update` and mixed
actions are not for it.

`GET /_counts` tells what arrived in whole, answered bulk requests; nothing else is ever counted.

    python -m loadtest.sink --listen 127.0.0.1:0       the first line printed is its URL
"""

import argparse
import asyncio
import json
import re
import signal
import zlib
from dataclasses import asdict, dataclass
from http import HTTPStatus
from io import BytesIO
from typing import cast
from urllib.parse import parse_qs, urlsplit

import uvloop

from loadtest.bulk_answer import bulk_answer

BUFFER_BYTES = 256 * 1024  # stays in the second-level cache
MAX_HEAD_BYTES = 64 * 1024
_START_BYTES = 16  # enough to see the action in

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_GZIP = re.compile(rb"\r\ncontent-encoding: *gzip", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_ACCEPT = re.compile(rb"\r\naccept: *(application/vnd\.elasticsearch\+json[^\r,]*)", re.IGNORECASE)
_ACTION = re.compile(rb'\s*{\s*"(create|index)"')

# what is asked besides `_bulk`; every other GET is a 404, every other PUT or POST acknowledged
_KNOWN: dict[str, dict[str, object]] = {
    "/": {
        "name": "sink",
        "cluster_name": "sink",
        "cluster_uuid": "nullsinknullsinknullsi",
        "version": {"number": "8.19.21", "build_flavor": "default", "build_type": "zip"},
        "tagline": "You Know, for Search",
    },
    "/_cluster/health": {
        "cluster_name": "sink",
        "status": "green",
        "timed_out": False,
        "number_of_nodes": 1,
        "number_of_data_nodes": 1,
        "active_shards": 0,
    },
    "/_index_template": {"index_templates": []},
    "/_component_template": {"component_templates": []},
}


@dataclass(slots=True)
class Counts:
    """What arrived in answered bulk requests; `bytes` are those on the wire, without heads."""

    documents: int = 0
    requests: int = 0
    bytes: int = 0


async def start(host: str, port: int, counts: Counts) -> asyncio.Server:
    """Listen; `counts` belongs to the caller and grows. Closing the server ends it."""
    buffer = bytearray(BUFFER_BYTES)
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: SinkConnection(counts, buffer), host, port)


class SinkConnection(asyncio.BufferedProtocol):
    """One client. All connections share one buffer: what was read is used up before the next read.

    That holds because the event loop asks for the buffer, reads and reports in one step.
    """

    def __init__(self, counts: Counts, buffer: bytearray):
        self._counts = counts
        self._view = memoryview(buffer)
        self._head = b""  # an unfinished head
        self._request: Request | None = None  # whose body is being read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        place = 0
        while place < nbytes and not self._transport.is_closing():
            if self._request is None:
                place = self._read_head(place, nbytes)
            else:
                place = self._read_body(self._request, place, nbytes)

    def _read_head(self, place: int, end: int) -> int:
        known = len(self._head)
        head = self._head + self._view[place:end]
        length = head.find(b"\r\n\r\n") + 4
        if length < 4:
            self._head = head
            if len(head) > MAX_HEAD_BYTES:
                self._transport.close()
            return end
        self._head = b""
        self._request = Request(head[: length - 2])
        if self._request.left == 0:
            self._finish(self._request)
        return place + length - known

    def _read_body(self, request: "Request", place: int, end: int) -> int:
        end = min(end, place + request.left)
        request.read(self._view[place:end])
        if request.left == 0:
            self._finish(request)
        return end

    def _finish(self, request: "Request") -> None:
        self._request = None
        if request.is_bulk and request.action() is not None:
            self._counts.documents += request.documents()
            self._counts.requests += 1
            self._counts.bytes += request.length
        self._transport.write(answer(request, self._counts))
        if request.is_chunked:
            self._transport.close()


class Request:
    """A request whose body is counted as it arrives and not kept."""

    def __init__(self, head: bytes):
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        url = urlsplit(path)
        self.method = method
        self.path = url.path
        self.filter_path = ",".join(parse_qs(url.query).get("filter_path", ()))
        self.is_bulk = method in ("POST", "PUT") and url.path.endswith("/_bulk")
        self.is_chunked = _CHUNKED.search(head) is not None
        accept, length = _ACCEPT.search(head), _LENGTH.search(head)
        self.content_type = accept[1] if accept else b"application/json"
        self.length = self.left = int(length[1]) if length else 0
        self._inflate = zlib.decompressobj(31).decompress if _GZIP.search(head) else None
        self._line_breaks = 0
        self._start = b""
        self._is_ended = False  # the last byte was a line break

    def read(self, piece: memoryview) -> None:
        self.left -= len(piece)
        lines = piece if self._inflate is None else self._inflate(piece)
        if not len(lines):
            return
        if len(self._start) < _START_BYTES:
            self._start += lines[:_START_BYTES]
        self._is_ended = lines[-1:] == b"\n"
        # memchr: 0.1 µs a document; `count` looks at each byte before Python 3.13: 0.3 µs
        self._line_breaks += len(BytesIO(lines).readlines()) - (not self._is_ended)

    def action(self) -> str | None:
        """That of every document; None where Elasticsearch would refuse the whole request."""
        action = _ACTION.match(self._start)
        if action is None or not self._is_ended or self._line_breaks % 2:
            return None
        return action[1].decode()

    def documents(self) -> int:
        return self._line_breaks // 2


def answer(request: Request, counts: Counts) -> bytes:
    """The whole HTTP answer to a request that was read to its end."""
    if request.is_chunked:
        return _refusal(request, 411, "send Content-Length, not chunks")
    if request.is_bulk:
        return _bulk_answer(request)
    if request.path == "/_counts":
        return _json_answer(request, asdict(counts))
    known = _KNOWN.get(request.path)
    if known is None and request.method not in ("GET", "HEAD"):
        known = {"acknowledged": True}
    if known is None:
        return _refusal(request, 404, f"no [{request.path}] here")
    return _json_answer(request, known)


def _bulk_answer(request: Request) -> bytes:
    action = request.action()
    if action is None:
        return _refusal(request, 400, "bulk: action lines, source lines and a last line break")
    content = bulk_answer(request.documents(), action, request.filter_path)
    return _http_answer(request, 200, content)


def _json_answer(request: Request, content: object, status: int = 200) -> bytes:
    return _http_answer(request, status, json.dumps(content, separators=(",", ":")).encode())


def _refusal(request: Request, status: int, reason: str) -> bytes:
    error = {"type": "illegal_argument_exception", "reason": reason}
    return _json_answer(request, {"error": error, "status": status}, status)


def _http_answer(request: Request, status: int, content: bytes) -> bytes:
    head = b"HTTP/1.1 %d %b\r\nX-elastic-product: Elasticsearch\r\ncontent-type: %b\r\n" % (
        status,
        HTTPStatus(status).phrase.encode(),
        request.content_type,
    )
    shown = b"" if request.method == "HEAD" else content
    return b"%bcontent-length: %d\r\n\r\n%b" % (head, len(content), shown)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.sink", description=__doc__)
    parser.add_argument("--listen", default="127.0.0.1:9200", metavar="HOST:PORT")
    host, _, port = parser.parse_args().listen.rpartition(":")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(host, int(port)))


async def _serve(host: str, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await start(host, port, Counts())
    print("http://{}:{}".format(*server.sockets[0].getsockname()[:2]), flush=True)
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    main()

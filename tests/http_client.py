"""An HTTP/1.1 client by hand, for senders that no library will play: slow, odd, rude, or early.

with RawClient(service.url) as client:
    client.send(request("POST", "/ingest", b'{"a":1}\\n'), piece_bytes=1)
    assert client.read_answer().status == 202
"""

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Self
from urllib.parse import urlsplit

from tests.service import NDJSON, Answer

TIMEOUT_S = 20.0
READ_BYTES = 1 << 16


class ConnectionEnded(Exception):
    """The server closed the connection where an answer was awaited."""


class RawClient:
    """One connection."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S):
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.disconnect()

    def send(self, content: bytes, *, piece_bytes: int | None = None, pause_s: float = 0) -> None:
        """All at once, or in pieces with a pause after each."""
        step = piece_bytes or len(content) or 1
        for start in range(0, len(content), step):
            self._socket.sendall(content[start : start + step])
            if pause_s:
                time.sleep(pause_s)

    def send_what_is_taken(self, content: bytes) -> None:
        """Like `send`, but the server may stop reading or end the connection."""
        with contextlib.suppress(ConnectionError):
            self.send(content)

    def end_sending(self) -> None:
        """Half-close: nothing more is sent, the answer is awaited."""
        self._socket.shutdown(socket.SHUT_WR)

    def disconnect(self) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Disconnect with RST, as a crashed producer's machine does."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def read_answer(self) -> Answer:
        """The next answer, a `100 Continue` too. Raises ConnectionEnded, TimeoutError."""
        head = self._read_until(b"\r\n\r\n")
        status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        status = int(status_line.split(" ")[1])
        return Answer(status, headers, self._read(int(headers.get("content-length", "0"))))

    def is_ended(self) -> bool:
        """Whether the server closes the connection, without sending anything more."""
        try:
            return not self._received and not self._socket.recv(1)
        except ConnectionError:
            return True

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._receive()
        return self._read(self._received.index(end) + len(end))

    def _read(self, length: int) -> bytes:
        while len(self._received) < length:
            self._receive()
        content, self._received = self._received[:length], self._received[length:]
        return content

    def _receive(self) -> None:
        try:
            received = self._socket.recv(READ_BYTES)
        except ConnectionError as error:
            raise ConnectionEnded(f"{error}, after {self._received!r}") from error
        if not received:
            raise ConnectionEnded(f"after {self._received!r}")
        self._received += received


def request(
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    version: str = "1.1",
) -> bytes:
    """A whole request with Content-Length; `body` None: without."""
    default = {} if body is None else {"content-length": str(len(body))}
    return head(method, target, {**default, **(headers or {})}, version=version) + (body or b"")


def post(target: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole POST of NDJSON."""
    return request("POST", target, body, {"content-type": NDJSON, **(headers or {})})


def head(
    method: str, target: str, headers: Mapping[str, str] | None = None, *, version: str = "1.1"
) -> bytes:
    """The head of a request alone."""
    lines = [f"{method} {target} HTTP/{version}", "host: test"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunked_head(target: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The head of a chunked POST of NDJSON."""
    framing = {"content-type": NDJSON, "transfer-encoding": "chunked"}
    return head("POST", target, {**framing, **(headers or {})})


def chunk(piece: bytes) -> bytes:
    """One chunk; an empty piece is the last."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def chunks(pieces: Iterable[bytes]) -> bytes:
    """A whole chunked body."""
    return b"".join(map(chunk, pieces)) + chunk(b"")


def pieces_of(content: bytes, piece_bytes: int) -> Iterator[bytes]:
    for start in range(0, len(content), piece_bytes):
        yield content[start : start + piece_bytes]

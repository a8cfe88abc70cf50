"""The other door: uvicorn's own HTTP protocol, for requests that the hot route does not answer.

It works on the connection of an IngestProtocol, one request at a time, and keeps what comes behind
one until that is answered.
(It reads attributes of uvicorn's class that are not public; uvicorn is pinned for that reason.)
"""

import asyncio
from typing import Any, Protocol

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ingest.errors import MalformedRequest
from ingest.head import ChunkedFraming, Head


class Connection(Protocol):
    """What the door needs of its connection."""

    def answered(self) -> None:
        """The request is over."""

    def go_on(self, received: bytes) -> None:
        """Something changed between two arrivals; `received` is what the door gives back."""


class StarletteDoor(HttpToolsProtocol):
    """One connection's way to the ASGI application."""

    def __init__(
        self,
        connection: Connection,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
    ):
        super().__init__(config, server_state, app_state, loop)
        self._connection = connection
        self._behind = b""  # arrived behind the request
        self._left = 0  # bytes of the request's body that have not come, unless it is chunked
        self._framing: ChunkedFraming | None = None

    def begin(self, head: Head, raw: bytes, received: bytes) -> bytes:
        """A request with its complete head; gives back what belongs to the next one."""
        self._left = head.content_length or 0
        self._framing = ChunkedFraming() if head.content_length is None else None
        self.data_received(raw)
        return self.take(received)

    def take(self, received: bytes) -> bytes:
        """Pass the body on; gives back what belongs to the next request."""
        behind = self._after_body(received)
        if mine := received[: len(received) - len(behind)]:
            self.data_received(mine)
        self._behind += behind
        return self._finish()

    @property
    def is_waiting(self) -> bool:
        """For the answer, while the next request is here already."""
        return bool(self._behind)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._connection.go_on(self._finish())

    def _after_body(self, received: bytes) -> bytes:
        if self._framing is None:
            rest = received[self._left :]
            self._left -= len(received) - len(rest)
            return rest
        try:
            return self._framing.feed(received)[1]
        except MalformedRequest:
            return b""  # llhttp will find the same, and uvicorn refuse it

    def _finish(self) -> bytes:
        """Give back what came behind the request, if that is read and answered."""
        is_read = self._framing.is_complete if self._framing is not None else self._left == 0
        if not is_read or self.cycle is None or not self.cycle.response_complete:
            return b""
        self._unset_keepalive_if_required()  # the connection has its own
        self._connection.answered()
        behind, self._behind = self._behind, b""
        return behind

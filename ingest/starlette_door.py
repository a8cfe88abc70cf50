"""The other door: uvicorn's own HTTP protocol, for requests that the hot route does not answer.

It works on the connection of an IngestProtocol, one request at a time, and says when it is done.
(It reads attributes of uvicorn's class that are not public; uvicorn is pinned for that reason.)
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ingest.errors import MalformedRequest
from ingest.head import ChunkedFraming, Head


class StarletteDoor(HttpToolsProtocol):
    """One connection's way to the ASGI application."""

    def __init__(
        self,
        on_done: Callable[[], None],
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None,
    ):
        super().__init__(config, server_state, app_state, loop)
        self._on_done = on_done
        self._left = 0  # bytes of the request's body that have not come, unless it is chunked
        self._framing: ChunkedFraming | None = None

    def begin(self, head: Head, raw: bytes, received: bytes) -> bytes:
        """Start a request with its complete head; gives what does not belong to it."""
        self._left = head.content_length or 0
        self._framing = ChunkedFraming() if head.content_length is None else None
        self.data_received(raw)
        return self.take(received)

    def take(self, received: bytes) -> bytes:
        """Pass the body on; gives what does not belong to it."""
        rest = self._after_body(received)
        if mine := received[: len(received) - len(rest)]:
            self.data_received(mine)
        self._tell_if_done()
        return rest

    def _after_body(self, received: bytes) -> bytes:
        if self._framing is None:
            rest = received[self._left :]
            self._left -= len(received) - len(rest)
            return rest
        try:
            return self._framing.feed(received)[1]
        except MalformedRequest:
            return b""  # llhttp will find the same, and uvicorn refuse it

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._tell_if_done()

    def _tell_if_done(self) -> None:
        is_read = self._framing.is_complete if self._framing is not None else self._left == 0
        if is_read and self.cycle is not None and self.cycle.response_complete:
            self._unset_keepalive_if_required()  # the connection has its own
            self._on_done()

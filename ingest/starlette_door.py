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

from ingest.head import Head


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
        self._left: int | None = 0  # bytes of the request's body that have not come; None: chunked

    def begin(self, head: Head, raw: bytes, received: bytes) -> bytes:
        """Start a request with its complete head; gives what does not belong to it."""
        self._left = head.content_length
        self.data_received(raw)
        return self.take(received)

    def take(self, received: bytes) -> bytes:
        """Pass the body on; gives what does not belong to it."""
        if self._left is None:  # where it ends is llhttp's to know: the connection stays here
            self.data_received(received)
            return b""
        mine, rest = received[: self._left], received[self._left :]
        self._left -= len(mine)
        if mine:
            self.data_received(mine)
        self._tell_if_done()
        return rest

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._tell_if_done()

    def _tell_if_done(self) -> None:
        if self._left == 0 and self.cycle is not None and self.cycle.response_complete:
            self._unset_keepalive_if_required()  # the connection has its own
            self._on_done()

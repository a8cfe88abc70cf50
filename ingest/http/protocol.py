"""One connection of the ingest port: heads, and the door that each request goes through.

    head ──▶ hot door ────▶ answered ──▶ head …            POST /ingest and /ingest/ROUTE
      └────▶ Starlette ───▶ answered ──▶ head …            every other request

It is an asyncio.BufferedProtocol (and must not be an asyncio.Protocol, or uvloop would not ask it
for a buffer), so that the kernel writes a Content-Length body straight into the body's buffer.
Everything else lands in one small piece of memory that all connections of a worker share: the
event loop asks for it, fills it and hands it over within one step.

A door is given bytes and keeps them while its request lasts; what it gives back starts the next.
"""

import asyncio
from enum import Enum, auto
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from ingest.errors import HeadTooLarge, RequestError, SlowSender, Unavailable
from ingest.http.answers import CONTINUE, error_answer, http_answer
from ingest.http.hot_door import HotDoor
from ingest.http.listener import Listener
from ingest.http.starlette_door import StarletteDoor

HEAD_BYTES_MAX = 32 * 1024
HEAD_TIMEOUT_S = 10.0
PARTING_S = 1.0  # how long an idle connection stays open when the server stops
LINGER_S = 5.0  # a refused sender may go on for so long, so that it gets to read the answer


class State(Enum):
    HEAD = auto()  # idle, or a head is arriving
    HOT = auto()  # a request is in the hot door's hands
    STARLETTE = auto()  # … in Starlette's
    LINGER = auto()  # the last answer is written; what still arrives is dropped


class IngestProtocol(asyncio.BufferedProtocol):
    """Made by uvicorn; `listener` is what the connections of a worker share."""

    def __init__(
        self,
        listener: Listener,
        *,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ):
        self._listener = listener
        self._server_state = server_state
        self._hot = HotDoor(listener, self)
        self._starlette = StarletteDoor(self, config, server_state, app_state, _loop)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._state = State.HEAD
        self._held = b""  # the start of a head whose end has not arrived
        self._deadline = 0.0  # of HEAD and LINGER; the hot door has its own
        self._is_paused = False

    # what asyncio and uvicorn call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._starlette.connection_made(self._transport)
        self._server_state.connections.discard(self._starlette)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        is_full = self._listener.is_full
        self._listener.enter(self)
        self._become_idle()
        if is_full:
            self._refuse(Unavailable("too many connections (max_connections)"))

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._state is State.HOT and self._hot.is_direct:
            return self._hot.space
        return self._listener.landing

    def buffer_updated(self, count: int) -> None:
        if self._state is State.HOT and self._hot.is_direct:
            self._hot.advance(count)
            self.go_on()
        else:
            self.go_on(bytes(self._listener.landing[:count]))

    def eof_received(self) -> bool:
        """A sender that is done may still want to hear: True keeps the connection open."""
        if self._state is State.HOT:
            return self._hot.is_waiting
        return self._state is State.STARLETTE

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._listener.leave(self)
        self._hot.connection_lost()
        self._starlette.connection_lost(exc)
        self._state = State.LINGER
        del self._hot, self._starlette  # they know us: nobody should wait for the collector

    def pause_writing(self) -> None:
        self._starlette.pause_writing()

    def resume_writing(self) -> None:
        self._starlette.resume_writing()

    def shutdown(self) -> None:
        """The server is stopping: connections close after their next answer.

        An idle one may have a request on its way already, which a close would cut off.
        """
        if self._state is State.STARLETTE:
            self._starlette.shutdown()
        elif self._state is State.HEAD and not self._held:
            self._deadline = self._listener.clock() + PARTING_S

    # the way of the bytes

    def go_on(self, received: bytes = b"") -> None:
        """Hand on what arrived, or what a door gives back; pause reading where nothing may."""
        rest = self._held + received if self._held else received
        self._held = b""
        while rest and not self._transport.is_closing():
            if self._state is State.HEAD:
                rest = self._take_head(rest, is_growing=len(rest) > len(received))
            elif self._state is State.HOT:
                rest = self._hot.take(rest)
            elif self._state is State.STARLETTE:
                rest = self._starlette.take(rest)
            else:
                rest = b""
        if self._state is State.HOT:
            self._pause(self._hot.is_waiting)
        else:
            self._pause(self._state is State.STARLETTE and self._starlette.is_waiting)

    def _take_head(self, received: bytes, is_growing: bool) -> bytes:
        """Read a head and let its request in; gives what of the bytes behind it is left."""
        end = received.find(b"\r\n\r\n") + 4
        if end < 4 and len(received) <= HEAD_BYTES_MAX:
            self._held = received
            if not is_growing:
                self._deadline = self._listener.clock() + HEAD_TIMEOUT_S
            return b""
        try:
            if not 4 <= end <= HEAD_BYTES_MAX:
                raise HeadTooLarge(f"the head is larger than {HEAD_BYTES_MAX} bytes")
            raw = received[:end]
            head = self._listener.heads.read(raw)
        except RequestError as error:
            self._refuse(error)
            return b""
        if head.is_hot:
            self._state = State.HOT
            return self._hot.begin(head, received[end:])
        self._state = State.STARLETTE
        return self._starlette.begin(head, raw, received[end:])

    # what the doors call

    def ask_for_body(self) -> None:
        self._transport.write(CONTINUE)

    def answer(
        self, status: int, body: bytes, *, keep_alive: bool, retry_after_s: int | None
    ) -> None:
        headers = self._listener.server_headers(self._server_state.default_headers)
        self._transport.write(
            http_answer(status, body, headers, keep_alive=keep_alive, retry_after_s=retry_after_s)
        )
        if keep_alive:
            self._become_idle()
        else:
            self._linger()

    def answered(self) -> None:
        """Starlette has written an answer itself, perhaps to a connection that is gone."""
        if self._state is State.STARLETTE:
            self._become_idle()

    def _refuse(self, error: RequestError) -> None:
        """Answer where no request was let in, and end the connection."""
        body, retry_after_s = error_answer(error), error.retry_after_s
        self.answer(error.status, body, keep_alive=False, retry_after_s=retry_after_s)

    def _become_idle(self) -> None:
        self._state = State.HEAD
        self._deadline = self._listener.clock() + self._listener.settings.keep_alive_s

    def _linger(self) -> None:
        """Closing with unread bytes would reset the connection under the answer."""
        self._state = State.LINGER
        self._deadline = self._listener.clock() + LINGER_S
        self._held = b""
        self._pause(False)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _pause(self, must_pause: bool) -> None:
        if must_pause == self._is_paused or self._transport.is_closing():
            return
        self._is_paused = must_pause
        if must_pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # what the listener calls

    def on_tick(self, now: float) -> None:
        """Called a few times a second."""
        if self._state is State.HOT:
            self._hot.on_tick(now)
        elif self._state is State.STARLETTE or now < self._deadline:
            return
        elif self._state is State.LINGER:
            self._transport.abort()
        elif self._held:
            self._refuse(SlowSender("the head of the request did not arrive"))
        else:
            self._transport.close()

"""The hot door: one connection of the ingest port, from the socket to the pipeline.

    head ──▶ body ──▶ answer ──▶ head …            POST /ingest and /ingest/ROUTE
      │        ▲ │
      │        │ └──▶ wait (no buffer or no room, reading paused) ──▶ 429 after `buffer_wait_s`
      │        └────────────────┘
      └──▶ Starlette, through uvicorn's own protocol, for every other request

This class answers the one hot route itself, with no ASGI scope, task or events: 11 µs a small
post where they cost 34. It is an asyncio.BufferedProtocol (and must not be an asyncio.Protocol, or
uvloop would not ask it for a buffer), so that the kernel writes a Content-Length body straight
into the body's buffer. Everything else lands in one small piece of memory that all connections of
a worker share: the event loop asks for it, fills it and hands it over within one step.

Every way out of a request – answer, refusal, disconnect, time-out, shutdown – ends the body, which
gives the buffer back.
"""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from ingest import metrics
from ingest.answers import CONTINUE, error_answer, http_answer
from ingest.errors import HeadTooLarge, RequestError, Shed, SlowSender, Unavailable
from ingest.exchange import Exchange
from ingest.head import Head
from ingest.listener import Listener
from ingest.starlette_door import StarletteDoor

HEAD_BYTES_MAX = 32 * 1024
HEAD_TIMEOUT_S = 10.0
PARTING_S = 1.0  # how long an idle connection stays open when the server stops
LINGER_S = 5.0  # a refused sender may go on for so long, so that it gets to read the answer


class State(Enum):
    HEAD = auto()
    BODY = auto()
    WAIT = auto()  # for a buffer or for room; reading paused
    ANSWER = auto()  # documents are on their way, the answer is not written yet; reading paused
    STARLETTE = auto()
    LINGER = auto()  # the last answer is written; what still arrives is dropped


class IngestProtocol(asyncio.BufferedProtocol):
    """One connection. Made by uvicorn; `listener` is what the connections of a worker share."""

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
        self._settings = listener.settings
        self._backpressure = listener.backpressure
        self._server_state = server_state
        self._starlette = StarletteDoor(
            self._starlette_is_done, config, server_state, app_state, _loop
        )
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._state = State.HEAD
        self._held = b""  # arrived, and not looked at yet
        self._exchange: Exchange | None = None
        self._deadline = 0.0  # of the present state; see on_tick
        self._rate_mark = (0.0, 0)  # when, and how many bytes of the body had come by then
        self._is_paused = False

    # what asyncio and uvicorn call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._starlette.connection_made(self._transport)
        self._server_state.connections.discard(self._starlette)
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        is_full = self._listener.is_full
        self._listener.enter(self)
        self._deadline = self._listener.clock() + self._settings.keep_alive_s
        if is_full:
            self._refuse_connection(Unavailable("too many connections (max_connections)"))

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._state is State.BODY and self._exchange is not None and self._exchange.is_direct:
            return self._exchange.space
        return self._listener.landing

    def buffer_updated(self, count: int) -> None:
        exchange = self._exchange
        if self._state is State.BODY and exchange is not None and exchange.is_direct:
            self._step(exchange.advance, count)
            self._go_on()
        else:
            self._go_on(bytes(self._listener.landing[:count]))

    def eof_received(self) -> bool:
        if self._state is State.STARLETTE:
            self._starlette.eof_received()
        # A sender that is done may still want to hear.
        return self._state in (State.WAIT, State.ANSWER, State.STARLETTE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        self._listener.leave(self)
        self._backpressure.leave(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.end_body()
            if exchange.intake is not None:
                exchange.intake.when_done(None)
            self._count("disconnect", exchange)
        self._starlette.connection_lost(exc)
        self._state = State.LINGER

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

    def _go_on(self, received: bytes = b"") -> None:
        """Look at what has arrived for as long as the state lets us; pause reading where not."""
        rest = self._held + received if self._held else received
        self._held = b""
        while rest and not self._transport.is_closing():
            if self._state is State.HEAD:
                end = self._head_end(rest, is_growing=len(rest) > len(received))
                if not end:
                    self._held = rest
                    break
                rest = self._take_head(rest[:end], rest[end:])
            elif self._state is State.BODY:
                rest = self._take_body(rest)
            elif self._state is State.STARLETTE:
                rest = self._held = self._starlette.take(rest)
                if self._state is State.STARLETTE:
                    break
                self._held = b""
            else:
                self._held = b"" if self._state is State.LINGER else rest
                break
        if self._state is State.BODY:
            self._after_body_bytes()
        is_full = self._state is State.STARLETTE and bool(self._held)
        self._pause(self._state in (State.WAIT, State.ANSWER) or is_full)

    def _head_end(self, received: bytes, is_growing: bool) -> int:
        """Where the head ends; 0 while it may still be growing."""
        end = received.find(b"\r\n\r\n") + 4
        if end >= 4:
            return end
        if not is_growing:
            self._deadline = self._listener.clock() + HEAD_TIMEOUT_S
        return len(received) if len(received) > HEAD_BYTES_MAX else 0

    def _take_head(self, raw: bytes, received: bytes) -> bytes:
        """Understand one head; gives what of the bytes after it is left to look at."""
        try:
            if len(raw) > HEAD_BYTES_MAX:
                raise HeadTooLarge(f"the head is larger than {HEAD_BYTES_MAX} bytes")
            head = self._listener.heads.read(raw)
        except RequestError as error:
            self._refuse_connection(error)
            return b""
        if not head.is_hot:
            self._state = State.STARLETTE
            return self._starlette.begin(head, raw, received)
        return self._begin(head, received)

    def _begin(self, head: Head, received: bytes) -> bytes:
        """Start an exchange; gives what is left to look at."""
        exchange = self._exchange = Exchange(self._listener, head)
        try:
            exchange.open()
            if exchange.try_take_whole(received):
                exchange.finish()
                self._complete(exchange)
                return received[exchange.received_bytes :]
            if self._backpressure.is_contended or not self._start(exchange, received):
                self._wait()
        except RequestError as error:
            self._held = received[exchange.received_bytes :]
            self._refuse(error)
            rest, self._held = self._held, b""
            return rest
        return received

    def _start(self, exchange: Exchange, received: bytes) -> bool:
        """Begin to read the body if there is a buffer and room for it. Raises RequestError."""
        if not exchange.try_start():
            return False
        if exchange.head.expects_continue and not received:
            self._transport.write(CONTINUE)
        self._enter_body(exchange)
        return True

    def _enter_body(self, exchange: Exchange) -> None:
        self._state = State.BODY
        self._rate_mark = (self._listener.clock(), exchange.received_bytes)

    def _take_body(self, received: bytes) -> bytes:
        exchange = self._exchange
        assert exchange is not None
        try:
            pieces, self._held = exchange.share_of(received)
            exchange.take(pieces)
        except RequestError as error:
            self._refuse(error)
        rest, self._held = self._held, b""
        if self._state is State.BODY:
            self._after_body_bytes()
        return rest

    def _step(self, take: Callable[..., Any], *arguments: Any) -> Any:
        """One step of a body; a RequestError in it refuses the request."""
        try:
            return take(*arguments)
        except RequestError as error:
            self._refuse(error)
        return None

    def _after_body_bytes(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        if exchange.is_blocked:
            self._wait()
        elif exchange.is_complete:
            try:
                exchange.finish()
            except RequestError as error:
                self._refuse(error)
            else:
                self._complete(exchange)

    # waiting for room

    def _wait(self) -> None:
        self._state = State.WAIT
        self._deadline = self._listener.clock() + self._settings.buffer_wait_s
        exchange = self._exchange
        assert exchange is not None
        self._backpressure.wait(self, holds_buffer=exchange.is_started)

    def on_room(self) -> bool:
        """Called by Backpressure, in order of arrival."""
        exchange = self._exchange
        if exchange is None or self._state is not State.WAIT:
            return True
        if exchange.is_started:
            self._enter_body(exchange)
            self._step(exchange.pump)
        else:
            try:
                if not self._start(exchange, self._held):
                    return False
            except RequestError as error:
                self._refuse(error)
        self._go_on()
        return True

    # the answer

    def _complete(self, exchange: Exchange) -> None:
        """The body was read: answer now, or when its documents have their outcome."""
        exchange.end_body()
        assert exchange.intake is not None
        if exchange.intake.is_done:
            self._answer_documents(exchange)
            return
        self._state = State.ANSWER
        self._deadline = self._listener.clock() + self._settings.ack_timeout_s
        exchange.intake.when_done(self._on_done)

    def _on_done(self) -> None:
        if self._exchange is not None:
            self._answer_documents(self._exchange)
            self._go_on()

    def _answer_documents(self, exchange: Exchange) -> None:
        try:
            self._answer(*exchange.answer())
        except RequestError as error:
            self._refuse(error)

    def _refuse(self, error: RequestError) -> None:
        """Answer with an error. Unless the whole body is here, the connection ends with it."""
        exchange = self._exchange
        assert exchange is not None
        exchange.end_body()
        self._backpressure.leave(self)
        left = exchange.left_bytes
        is_over = left is not None and left <= len(self._held)
        if is_over:
            self._held = self._held[left:]
        status, body = exchange.refusal(error)
        self._answer(status, body, error.retry_after_s, must_close=not is_over)

    def _answer(
        self,
        status: int,
        body: bytes,
        retry_after_s: int | None = None,
        *,
        must_close: bool = False,
    ) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        keep_alive = exchange.head.keep_alive and not must_close and not self._listener.is_draining
        self._write(status, body, keep_alive=keep_alive, retry_after_s=retry_after_s)
        self._count(str(status), exchange)
        if keep_alive:
            self._become_idle()
        else:
            self._linger()

    def _count(self, status: str, exchange: Exchange) -> None:
        board = self._listener.scoreboard
        board.add(metrics.REQUESTS, 1, status)
        board.add(metrics.RECEIVED_BYTES, exchange.received_bytes)
        board.observe(metrics.REQUEST_SECONDS, self._listener.clock() - exchange.started)

    def _write(
        self, status: int, body: bytes, *, keep_alive: bool, retry_after_s: int | None = None
    ) -> None:
        headers = self._listener.server_headers(self._server_state.default_headers)
        self._transport.write(
            http_answer(status, body, headers, keep_alive=keep_alive, retry_after_s=retry_after_s)
        )

    def _refuse_connection(self, error: RequestError) -> None:
        """Answer where no request is being read, and end the connection."""
        retry_after_s = error.retry_after_s
        self._write(
            error.status, error_answer(error), keep_alive=False, retry_after_s=retry_after_s
        )
        self._linger()

    def _become_idle(self) -> None:
        self._state = State.HEAD
        self._deadline = self._listener.clock() + self._settings.keep_alive_s

    def _linger(self) -> None:
        """Closing with unread bytes would reset the connection under the answer."""
        self._state = State.LINGER
        self._deadline = self._listener.clock() + LINGER_S
        self._held = b""
        self._pause(False)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _starlette_is_done(self) -> None:
        if self._state is State.STARLETTE:
            self._become_idle()
            self._go_on()

    # time

    def on_tick(self, now: float) -> None:
        """Called a few times a second."""
        if self._state is State.BODY:
            self._tick_body(now)
        elif self._state is State.STARLETTE or now < self._deadline:
            return
        elif self._state is State.WAIT:
            self._refuse(Shed(self._shed_reason()))
            self._go_on()
        elif self._state is State.ANSWER:
            self._answer_pending()
        elif self._state is State.LINGER:
            self._transport.abort()
        elif self._held:
            self._refuse_connection(SlowSender("the head of the request did not arrive"))
        else:
            self._transport.close()

    def _tick_body(self, now: float) -> None:
        exchange = self._exchange
        assert exchange is not None
        since, bytes_then = self._rate_mark
        if now - since >= self._settings.body_grace_s:
            rate = (exchange.received_bytes - bytes_then) / (now - since)
            least = self._settings.min_body_bytes_per_s
            if rate < least:
                self._refuse(
                    SlowSender(f"{rate:.0f} bytes/s are less than min_body_bytes_per_s ({least})")
                )
                return
            self._rate_mark = (now, exchange.received_bytes)
        self._step(exchange.hand_on)
        self._go_on()

    def _shed_reason(self) -> str:
        wait_s = self._settings.buffer_wait_s
        if self._backpressure.has_room:
            return f"no buffer was free for buffer_wait_s ({wait_s:g}); send fewer bodies at once"
        return (
            f"more than max_pending_bytes ({self._settings.max_pending_bytes}) wait for "
            f"Elasticsearch, for longer than buffer_wait_s ({wait_s:g}); try again later"
        )

    def _answer_pending(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        error = Unavailable(
            f"not every document has its outcome after ack_timeout_s "
            f"({self._settings.ack_timeout_s:g}); delivery goes on"
        )
        self._answer(503, exchange.pending(error), error.retry_after_s)
        self._go_on()

    def _pause(self, must_pause: bool) -> None:
        if must_pause == self._is_paused or self._transport.is_closing():
            return
        self._is_paused = must_pause
        if must_pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

"""The hot door: documents of one `POST /ingest` after the other, from a connection to the pipeline.

    begin ─▶ BODY ─▶ ANSWER ─▶ answered        a small post goes all the way in one step
      │      ▲  │       └─ its documents have no outcome yet ──▶ 503 after `ack_timeout_s`
      ▼      │  ▼
      └──▶ WAIT ─ no buffer, or no room for what a body holds ──▶ 429 after `buffer_wait_s`

It answers itself, with no ASGI scope, task or events: 11 µs a small post where they cost 34.
Every way out of a request – answer, refusal, disconnect, time-out – ends the body, which gives the
buffer back. While it waits, for whichever, nothing more is read from the connection.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from ingest import metrics
from ingest.errors import RequestError, Shed, SlowSender, Unavailable
from ingest.head import Head
from ingest.http.exchange import Exchange
from ingest.http.listener import Listener


class Connection(Protocol):
    """What the door needs of its connection."""

    def ask_for_body(self) -> None:
        """Tell a sender that waits for it (`Expect: 100-continue`) to go on."""

    def answer(
        self, status: int, body: bytes, *, keep_alive: bool, retry_after_s: int | None
    ) -> None:
        """The request is over; unless `keep_alive`, so is the connection."""

    def go_on(self, received: bytes) -> None:
        """Something changed between two arrivals; `received` is what the door gives back."""


class State(Enum):
    BODY = auto()
    WAIT = auto()  # for a buffer or for room, in the line of Backpressure
    ANSWER = auto()  # documents are on their way, the answer is not written yet


class HotDoor:
    """One connection's way to the pipeline; made with it, used for one request at a time.

    What it gets is its own until the request is over: then it gives back what came behind.
    """

    def __init__(self, listener: Listener, connection: Connection):
        self._listener = listener
        self._settings = listener.settings
        self._backpressure = listener.backpressure
        self._connection = connection
        self._exchange: Exchange | None = None  # None between requests
        self._state = State.BODY
        self._deadline = 0.0  # of WAIT and ANSWER
        self._rate_mark = (0.0, 0)  # when, and how many bytes of the body had come by then

    # what the connection calls

    def begin(self, head: Head, received: bytes) -> bytes:
        """A request, with what came behind its head; gives back what belongs to the next one."""
        exchange = self._exchange = Exchange(self._listener, head, received)
        try:
            exchange.open()
            if exchange.try_take_whole():
                exchange.finish()
                self._complete(exchange)
            elif self._backpressure.is_contended or not self._try_start(exchange):
                self._wait(exchange)
        except RequestError as error:
            self._refuse(exchange, error)
        return self._rest_of(exchange)

    def take(self, received: bytes) -> bytes:
        """Bytes that landed elsewhere; gives back what belongs to the next request."""
        exchange = self._present
        exchange.held += received
        if self._state is State.BODY:
            self._step(exchange, exchange.read)
        return self._rest_of(exchange)

    @property
    def is_direct(self) -> bool:
        """Whether the kernel may write into `space`, to be followed by `advance`."""
        return self._state is State.BODY and self._present.is_direct

    @property
    def space(self) -> memoryview:
        return self._present.space

    def advance(self, count: int) -> None:
        """The kernel put `count` bytes into `space`."""
        exchange = self._present
        self._step(exchange, exchange.advance, count)

    @property
    def is_waiting(self) -> bool:
        """Nothing may be read now. (Only to be asked during a request.)"""
        return self._state is not State.BODY

    def on_tick(self, now: float) -> None:
        """Called a few times a second during a request."""
        exchange = self._present
        if self._state is State.BODY:
            self._tick_body(exchange, now)
        elif now < self._deadline:
            return
        elif self._state is State.WAIT:
            self._refuse(exchange, Shed(self._shed_reason()))
        else:
            self._answer_pending(exchange)
        self._connection.go_on(self._rest_of(exchange))

    def connection_lost(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        self._backpressure.leave(self)
        exchange.end_body()
        if exchange.intake is not None:
            exchange.intake.when_done(None)
        self._count("disconnect", exchange)

    @property
    def _present(self) -> Exchange:
        assert self._exchange is not None
        return self._exchange

    def _rest_of(self, exchange: Exchange) -> bytes:
        """What came behind the request, once that is over."""
        return exchange.held if self._exchange is None else b""

    # the body

    def _try_start(self, exchange: Exchange) -> bool:
        """Begin to read if there is a buffer and room for the body. Raises RequestError."""
        if not exchange.try_start():
            return False
        if exchange.head.expects_continue and not exchange.held:
            self._connection.ask_for_body()
        self._read_on(exchange)
        return True

    def _read_on(self, exchange: Exchange) -> None:
        self._state = State.BODY
        self._rate_mark = (self._listener.clock(), exchange.received_bytes)
        self._step(exchange, exchange.read_on)

    def _step(self, exchange: Exchange, step: Callable[..., None], *arguments: int) -> None:
        """One step of a body, and what follows from it."""
        try:
            step(*arguments)
            if exchange.is_blocked:
                self._wait(exchange)
            elif exchange.is_complete:
                exchange.finish()
                self._complete(exchange)
        except RequestError as error:
            self._refuse(exchange, error)

    def _tick_body(self, exchange: Exchange, now: float) -> None:
        since, bytes_then = self._rate_mark
        if now - since >= self._settings.body_grace_s:
            rate = (exchange.received_bytes - bytes_then) / (now - since)
            least = self._settings.min_body_bytes_per_s
            if rate < least:
                reason = f"{rate:.0f} bytes/s are less than min_body_bytes_per_s ({least})"
                self._refuse(exchange, SlowSender(reason))
                return
            self._rate_mark = (now, exchange.received_bytes)
        self._step(exchange, exchange.hand_on)

    # waiting for room

    def _wait(self, exchange: Exchange) -> None:
        self._state = State.WAIT
        self._deadline = self._listener.clock() + self._settings.buffer_wait_s
        self._backpressure.wait(self, holds_buffer=exchange.is_started)

    def on_room(self) -> bool:
        """Called by Backpressure, in order of arrival."""
        exchange = self._present
        try:
            if exchange.is_started:
                self._read_on(exchange)
            elif not self._try_start(exchange):
                return False
        except RequestError as error:
            self._refuse(exchange, error)
        self._connection.go_on(self._rest_of(exchange))
        return True

    def _shed_reason(self) -> str:
        wait_s = self._settings.buffer_wait_s
        if self._backpressure.has_room:
            return f"no buffer was free for buffer_wait_s ({wait_s:g}); send fewer bodies at once"
        return (
            f"more than max_pending_bytes ({self._settings.max_pending_bytes}) wait for "
            f"Elasticsearch, for longer than buffer_wait_s ({wait_s:g}); try again later"
        )

    # the answer

    def _complete(self, exchange: Exchange) -> None:
        """The body was read: answer now, or when its documents have their outcome."""
        exchange.end_body()
        assert exchange.intake is not None
        if exchange.intake.is_done:
            self._answer(exchange, *exchange.answer())
            return
        self._state = State.ANSWER
        self._deadline = self._listener.clock() + self._settings.ack_timeout_s
        exchange.intake.when_done(self._on_done)

    def _on_done(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        try:
            self._answer(exchange, *exchange.answer())
        except RequestError as error:
            self._refuse(exchange, error)
        self._connection.go_on(exchange.held)

    def _answer_pending(self, exchange: Exchange) -> None:
        error = Unavailable(
            f"not every document has its outcome after ack_timeout_s "
            f"({self._settings.ack_timeout_s:g}); delivery goes on"
        )
        self._answer(exchange, 503, exchange.pending(error), error.retry_after_s)

    def _refuse(self, exchange: Exchange, error: RequestError) -> None:
        """Answer with an error. Unless the whole body is here, the connection ends with it."""
        exchange.end_body()
        self._backpressure.leave(self)
        must_close = not exchange.try_skip_body()
        status, body = exchange.refusal(error)
        self._answer(exchange, status, body, error.retry_after_s, must_close=must_close)

    def _answer(
        self,
        exchange: Exchange,
        status: int,
        body: bytes,
        retry_after_s: int | None = None,
        *,
        must_close: bool = False,
    ) -> None:
        self._exchange = None
        keep_alive = exchange.head.keep_alive and not must_close and not self._listener.is_draining
        self._connection.answer(status, body, keep_alive=keep_alive, retry_after_s=retry_after_s)
        self._count(str(status), exchange)

    def _count(self, status: str, exchange: Exchange) -> None:
        board = self._listener.scoreboard
        board.add(metrics.REQUESTS, 1, status)
        board.add(metrics.RECEIVED_BYTES, exchange.received_bytes)
        board.observe(metrics.REQUEST_SECONDS, self._listener.clock() - exchange.started)

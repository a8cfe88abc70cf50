"""What all connections of a worker share: the landing memory, the budgets, the clock, the tick."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ingest import metrics
from ingest.backpressure import Backpressure
from ingest.config import Settings
from ingest.head import HeadReader
from ingest.pipeline import Pipeline
from ingest.scoreboard import Scoreboard

LANDING_BYTES = 64 * 1024
TICK_S = 0.25


class Ticking(Protocol):
    def on_tick(self, now: float) -> None: ...


class Listener:
    """One worker's ingest port, seen from its connections."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        backpressure: Backpressure,
        scoreboard: Scoreboard,
        clock: Callable[[], float],
    ):
        self.settings = settings
        self.pipeline = pipeline
        self.backpressure = backpressure
        self.scoreboard = scoreboard
        self.clock = clock
        self.heads = HeadReader()
        self.landing = memoryview(bytearray(LANDING_BYTES))
        self.is_draining = False
        self._connections: set[Ticking] = set()
        self._server_headers: tuple[object, bytes] = (None, b"")

    @property
    def is_full(self) -> bool:
        return len(self._connections) >= self.settings.max_connections

    def enter(self, connection: Ticking) -> None:
        self._connections.add(connection)

    def leave(self, connection: Ticking) -> None:
        self._connections.discard(connection)

    def server_headers(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """uvicorn's headers (date, server) as bytes; it makes a new list each second."""
        if self._server_headers[0] is not default_headers:
            lines = b"".join(b"%b: %b\r\n" % header for header in default_headers)
            self._server_headers = (default_headers, lines)
        return self._server_headers[1]

    async def tick(self) -> None:
        """Deadlines and gauges, for as long as the worker runs."""
        while True:
            now = self.clock()
            for connection in tuple(self._connections):
                connection.on_tick(now)
            board, room = self.scoreboard, self.backpressure
            board.set(metrics.CONNECTIONS, len(self._connections))
            board.set(metrics.BUFFERS_FREE, room.buffers_free)
            board.set(metrics.PENDING_BYTES, room.pending_bytes)
            due = self.clock() + TICK_S
            await asyncio.sleep(TICK_S)
            board.observe(metrics.LOOP_LAG_SECONDS, max(0.0, self.clock() - due))

"""Spooling between a real spool and a batcher that hands each chunk on at once, for tests.

The loop is real and turns by hand, as the spool's committer does: `commit` is one fdatasync's worth
of time. Each step checks the accounting law, so that no test has to.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Self

from ingest.backpressure import Backpressure
from ingest.batcher import Batcher
from ingest.chunk import Chunk, Lot
from ingest.delivery.dead_letters import DeadLetters
from ingest.delivery.outcomes import Outcomes
from ingest.intake import Intake
from ingest.scoreboard import Ledger, Scoreboard
from ingest.spool import DiskSpool, Files, SpoolError, SpoolLimits, Surroundings
from ingest.spool.committer import OnCommitted
from ingest.spooling import Group, Spooling
from tests.unit.spool.rig import LIMITS, Clock

WAIT_S = 20.0


class NoTimer:
    def cancel(self) -> None:
        """There is nothing to wait for."""


class SpoolingRig:
    """`chunks` are those that were handed on to delivery, in order."""

    def __init__(
        self,
        board: Scoreboard,
        data_dir: Path,
        *,
        max_pending_bytes: int = 1 << 30,
        files: Files | None = None,
        limits: SpoolLimits = LIMITS,
    ):
        self.board = board
        self.data_dir = data_dir
        self.loop = asyncio.new_event_loop()
        self.room = Backpressure(1, 1 << 20, max_pending_bytes, lambda wake: None)
        self.chunks: list[Chunk] = []
        self.batcher = Batcher(
            self.chunks.extend,
            lambda after_s, callback: NoTimer(),
            flush_bytes=1,
            flush_documents=1,
            flush_interval_s=1.0,
        )
        self.clock = Clock()
        self.surroundings = Surroundings(files=files or Files(), clock_s=self.clock)
        self.groups: list[int] = []  # how many records came back from each commit
        self._limits = limits
        self.spooling = Spooling(self._open, self.batcher, self.room, board, self.loop)
        dead_letters = DeadLetters(data_dir, lambda: "2024-05-06T07:08:09.000+00:00")
        self._outcomes = Outcomes(board, self.room, dead_letters, self.clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.spool.close()
        self.loop.close()

    def _open(self, on_committed: OnCommitted[Group]) -> DiskSpool[Group]:
        def note(groups: list[Group], error: SpoolError | None) -> None:
            self.groups.append(len(groups))
            on_committed(groups, error)

        self.spool: DiskSpool[Group] = DiskSpool(
            self.data_dir, note, limits=self._limits, surroundings=self.surroundings
        )
        self.spool.open()
        return self.spool

    # steps

    def take(
        self, intake: Intake, *bulks: bytes, originals: dict[int, bytes] | None = None
    ) -> None:
        """As the pipeline does: each bulk is one chunk, two lines a document."""
        for bulk in bulks:
            count = bulk.count(b"\n") // 2
            positions = range(intake.received, intake.received + count)
            chunk = Chunk(bulk, count, Lot(intake, count), range(count), positions)
            chunk.originals = originals or {}
            intake.received += count
            intake.in_memory += count
            self.board.ledger.received += count
            self.board.ledger.in_memory_unacked += count
            self.board.publish()
            self.room.hold(chunk.held_bytes)
            self.spooling.append(chunk, intake)
        self.check()

    def turn(self) -> None:
        """One turn of the loop."""
        self.loop.run_until_complete(asyncio.sleep(0))
        self.check()

    def commit(self) -> None:
        """What was taken is written and synced, and the loop hears of it."""
        self.turn()
        self.spool.turn()
        self.turn()

    def pass_a_second(self) -> None:
        """The spool looks after its files, its free room and its health."""
        self.clock.advance()
        self.spool.turn()

    def feed_until(self, is_reached: Callable[[], bool]) -> None:
        self.run_beside(self.spooling.feed(), is_reached)

    def wait_until(self, is_reached: Callable[[], bool]) -> None:
        self.run_beside(asyncio.sleep(WAIT_S), is_reached)

    def run_beside(self, endless: Awaitable[None], is_reached: Callable[[], bool]) -> None:
        """Let something run until what it does is seen; it is cancelled then."""

        async def run() -> None:
            task = asyncio.ensure_future(endless)
            async with asyncio.timeout(WAIT_S):
                while not is_reached():
                    assert not task.done(), task
                    await asyncio.sleep(0.001)
                    self.check()
            task.cancel()
            await asyncio.wait([task])

        self.loop.run_until_complete(run())

    def settle(self, chunks: Iterable[Chunk]) -> None:
        """Elasticsearch has indexed them."""
        self._outcomes.indexed(list(chunks))
        self.check()

    # looking

    @property
    def ledger(self) -> Ledger:
        """As the supervisor sees it."""
        return self.board.read_ledger()

    def check(self) -> None:
        assert self.ledger.is_balanced
        assert self.room.pending_bytes >= 0
        assert self.ledger.in_memory_unacked >= 0
        assert self.ledger.spooled >= 0

"""The parts behind the batcher, wired together for tests, with a scripted Elasticsearch.

Each step checks the accounting law, so that no test has to.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ingest.backpressure import Backpressure
from ingest.chunk import Chunk, Keeper, Lot
from ingest.delivery.backoff import Backoff
from ingest.delivery.bulk_writer import BulkWriter
from ingest.delivery.cluster import Answer
from ingest.delivery.dead_letters import DeadLetters
from ingest.delivery.outcomes import Outcomes
from ingest.model import Receipt, Rejection
from ingest.scoreboard import SIZE_BYTES, Ledger, Scoreboard

INDEXED: dict[str, Any] = {"status": 201}


@contextmanager
def open_scoreboard() -> Iterator[Scoreboard]:
    with tempfile.TemporaryFile() as memory:
        memory.truncate(SIZE_BYTES)
        board = Scoreboard(memory.fileno())
        yield board
        board.close()


@dataclass(eq=False)
class CountingReceipt:
    """A receipt that knows how many documents it waits for and hears of none twice."""

    waits_for: int
    acked: bool = False
    settled: int = 0
    failures: list[Rejection] = field(default_factory=list)

    def settle(self, count: int) -> None:
        self.settled += count
        assert self.settled <= self.waits_for

    def fail(self, rejection: Rejection) -> None:
        self.failures.append(rejection)
        self.settle(1)

    @property
    def is_settled(self) -> bool:
        return self.settled == self.waits_for


@dataclass(eq=False)
class CountingKeeper:
    """A spool that knows what it has to keep and hears of no document twice."""

    keeps: set[int]

    def settle(self, sequences: Sequence[int]) -> None:
        assert self.keeps.issuperset(sequences)
        self.keeps.difference_update(sequences)


def chunk_of(
    ids: Sequence[int], receipt: Receipt | None = None, keeper: Keeper | None = None
) -> Chunk:
    """A document a number, which is its id, its position, its sequence and its content."""
    bulk = "".join(
        f'{{"create":{{"_index":"logs-x-default","_id":"{n}"}}}}\n{{"n": {n}}}\n' for n in ids
    )
    lot = Lot(receipt or CountingReceipt(len(ids)), len(ids), keeper)
    return Chunk(bulk.encode(), len(ids), lot, list(ids), list(ids))


def ids_in(bulk: bytes) -> list[int]:
    return [int(orjson.loads(line)["create"]["_id"]) for line in bulk.splitlines()[0::2]]


def answer_of(results: Sequence[dict[str, Any]]) -> Answer:
    """A bulk answer in Elasticsearch's own form, with these results of `create`."""
    has_errors = any("error" in result for result in results)
    items = [{"create": result} for result in results]
    return Answer(200, orjson.dumps({"errors": has_errors, "took": 3, "items": items}))


def failed(status: int, type: str = "some_exception", reason: str = "why") -> dict[str, Any]:
    return {"status": status, "error": {"type": type, "reason": reason}}


class ScriptedBulk:
    """Answers each request by `script(ids)`; keeps what was sent, and how much at a time.

    `is_there` decides what it says when it is only asked whether it answers.
    """

    def __init__(self, script: Callable[[list[int]], Answer], check: Callable[[], None]):
        self.script = script
        self.is_there: Callable[[], bool] = lambda: True
        self.sent: list[list[int]] = []
        self.in_flight = 0
        self.in_flight_seen: list[int] = []
        self._check = check

    async def bulk(self, chunks: Sequence[bytes]) -> Answer:
        self._check()
        ids = ids_in(b"".join(chunks))
        self.sent.append(ids)
        self.in_flight += 1
        self.in_flight_seen.append(self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        return self.script(ids)

    async def answers(self) -> bool:
        self._check()
        return self.is_there()


class Delivery:
    """Bulk writer, outcomes, dead letters and budgets; documents are taken in as a worker does."""

    def __init__(
        self,
        board: Scoreboard,
        data_dir: Path,
        script: Callable[[list[int]], Answer],
        *,
        max_in_flight: int = 4,
    ):
        self.board = board
        self.bulk = ScriptedBulk(script, self.check)
        self.pauses_s: list[float] = []
        self.room = Backpressure(1, 1, 1 << 40, lambda wake: None)
        self.dead_letters = DeadLetters(data_dir, lambda: "2024-05-06T07:08:09.000+00:00")
        self.now_s = 0.0
        self.outcomes = Outcomes(board, self.room, self.dead_letters, lambda: self.now_s)
        self.writer = BulkWriter(
            self.bulk,
            self.outcomes,
            board,
            Backoff(1.0, 64.0, lambda: 1.0),
            max_in_flight=max_in_flight,
            clock=lambda: self.now_s,
            sleep=self._sleep,
        )
        self._directory = data_dir / "dead-letters"
        self._violations: list[str] = []  # the writer survives whatever is raised in it

    @property
    def ledger(self) -> Ledger:
        """As the supervisor sees it."""
        return self.board.read_ledger()

    def check(self) -> None:
        if not self.ledger.is_balanced:
            self._violations.append(f"unbalanced: {self.ledger}")
        if self.room.pending_bytes < 0:
            self._violations.append(f"{self.room.pending_bytes} pending bytes")
        assert not self._violations

    def take(self, *chunks: Chunk) -> None:
        ledger = self.board.ledger
        for chunk in chunks:
            ledger.received += chunk.count
            ledger.in_memory_unacked += chunk.count
            self.room.hold(chunk.held_bytes)
        self.board.publish()

    def deliver(self, *batches: list[Chunk]) -> None:
        """Until every document has its outcome."""

        async def run() -> None:
            for batch in batches:
                self.take(*batch)
                self.writer.send(batch)
            async with asyncio.timeout(20):
                while self.writer.is_busy:
                    await asyncio.sleep(0)

        asyncio.run(run())
        self.check()
        assert self.ledger.in_memory == 0
        assert self.room.pending_bytes == 0

    def letters(self) -> list[dict[str, Any]]:
        files = sorted(self._directory.glob("*.ndjson")) if self._directory.is_dir() else []
        return [orjson.loads(line) for file in files for line in file.read_bytes().splitlines()]

    async def _sleep(self, seconds: float) -> None:
        self.check()
        self.pauses_s.append(seconds)
        await asyncio.sleep(0)

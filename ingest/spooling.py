"""What makes an ack durable: chunks go to the spool first, and on from there.

    pipeline ─▶ spool ─▶ fdatasync ─▶ (ack) ─▶ batcher        while Elasticsearch keeps up
                                        └─▶ deferred          while it does not: memory is let go
                                               └──▶ batcher   of, the bytes are read back from disk
    orphans' records ──────────────────────▶ batcher          interleaved with those

Chunks of one turn of the loop share a record: a record costs 15 µs, which small posts would feel.
Live chunks may fill half of the pending bytes; from then on all are deferred, until they fill only
a quarter. What comes back from disk, oldest first, has a quarter of its own: after an outage both
go on, and neither starves the other.
"""

import asyncio
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from ingest import metrics
from ingest.backpressure import Backpressure
from ingest.batcher import Batcher
from ingest.chunk import Chunk, Keeper, Lot
from ingest.errors import RequestError, Shed, Unavailable
from ingest.intake import Intake, NoIntake
from ingest.scoreboard import Scoreboard
from ingest.spool import (
    DiskSpool,
    Record,
    RecordDamaged,
    Recovered,
    SpoolError,
    SpoolFull,
    SpoolUnavailable,
)
from ingest.spool.committer import OnCommitted

LIVE_SHARE = 0.5
LIVE_AGAIN_SHARE = 0.25  # few changes: what was deferred in one go is one handle
BACKLOG_SHARE = 0.25
FED_SHARE = 0.75  # of all pending bytes: the rest is for what is not durable yet
IDLE_S = 0.05  # how soon the feeder looks again when there was no room
GROUP_BYTES_MAX = 1 << 20
log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Group:
    """The chunks of one record, in the order of their bytes in it."""

    chunks: list[Chunk]
    record: Record | None = None

    @property
    def count(self) -> int:
        return sum(chunk.count for chunk in self.chunks)


class _Fed:
    """The keeper of a record that was read back; tells when all of it is settled."""

    __slots__ = ("_documents", "_keeper", "_on_settled")

    def __init__(self, keeper: Keeper, documents: int, on_settled: Callable[[], None]):
        self._keeper = keeper
        self._documents = documents
        self._on_settled = on_settled

    def settle(self, sequences: Sequence[int]) -> None:
        self._keeper.settle(sequences)
        self._documents -= len(sequences)
        if not self._documents:
            self._on_settled()


class Spooling:
    """The durable part of one worker's way; everything here runs in the event loop."""

    def __init__(
        self,
        open_spool: Callable[[OnCommitted[Group]], DiskSpool[Group]],
        batcher: Batcher,
        backpressure: Backpressure,
        scoreboard: Scoreboard,
        loop: asyncio.AbstractEventLoop,
    ):
        self._batcher = batcher
        self._backpressure = backpressure
        self._scoreboard = scoreboard
        self._loop = loop
        self._next_sequence = 0
        self._gathered: list[Chunk] = []
        self._gathered_bytes = 0
        self._uncommitted_bytes = 0  # pending, too, and not in anybody's way
        self._fed_bytes = 0  # read back from disk and not settled
        self._is_deferring = False
        self._is_stopping = False
        self._spool = open_spool(
            lambda *committed: loop.call_soon_threadsafe(self._on_committed, *committed)
        )

    # accepting

    def reserve(self, size_bytes: int) -> None:
        """Room for a body. Raises Shed with the time that the drain rate suggests, Unavailable."""
        if not self._spool.is_healthy:
            raise Unavailable(
                f"the spool can not be written ({self._spool.last_error}); ack=memory and "
                "ack=indexed are possible",
                type="spool_unavailable",
            )
        if not self._spool.reserve(size_bytes):
            raise Shed(
                "the spool is full: Elasticsearch takes less than is sent (spool_quota_bytes, "
                "spool_free_bytes_min)",
                type="spool_full",
                retry_after_s=self._spool.retry_after_s(),
            )

    def release(self, size_bytes: int) -> None:
        self._spool.release(size_bytes)

    def append(self, chunk: Chunk, intake: Intake) -> None:
        """Take a chunk for the disk; it is delivered whatever becomes of that."""
        intake.uncommitted += chunk.count
        chunk.sequences = range(self._next_sequence, self._next_sequence + chunk.count)
        self._next_sequence += chunk.count
        if not self._gathered:
            self._loop.call_soon(self._submit)
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk.bulk)
        self._uncommitted_bytes += chunk.held_bytes
        if self._gathered_bytes >= GROUP_BYTES_MAX:
            self._submit()

    def _submit(self) -> None:
        if not self._gathered:
            return  # they became too many before the turn ended
        group = Group(self._gathered)
        self._gathered, self._gathered_bytes = [], 0
        pieces = [chunk.bulk for chunk in group.chunks]
        for chunk in group.chunks:
            chunk.lot.keeper = self._spool
        try:
            first_sequence = group.chunks[0].sequences[0]
            group.record = self._spool.append(pieces, group.count, first_sequence, group)
        except SpoolUnavailable as error:
            for chunk in group.chunks:
                chunk.lot.keeper = None
            self._on_committed([group], error)

    def _on_committed(self, groups: Sequence[Group], error: SpoolError | None) -> None:
        for group in groups:
            self._uncommitted_bytes -= sum(chunk.held_bytes for chunk in group.chunks)
            if error is None:
                self._scoreboard.add(metrics.SPOOL_COMMITTED, len(group.chunks))
                for chunk in group.chunks:
                    self._count_spooled(chunk.lot)
            if error is None and self._must_defer():
                self._defer(group)
            else:
                for chunk in group.chunks:
                    self._batcher.add(chunk)
        self._scoreboard.publish()
        refusal = None if error is None else _refusal(error)
        for group in groups:
            for chunk in group.chunks:
                intake = chunk.lot.receipt
                assert isinstance(intake, Intake)
                intake.commit(chunk.positions, refusal)

    def _must_defer(self) -> bool:
        room = self._backpressure
        live_bytes = room.pending_bytes - self._uncommitted_bytes - self._fed_bytes
        share = LIVE_AGAIN_SHARE if self._is_deferring else LIVE_SHARE
        self._is_deferring = live_bytes > share * room.max_pending_bytes
        return self._is_deferring

    def _count_spooled(self, lot: Lot) -> None:
        ledger = self._scoreboard.ledger
        lot.is_spooled = True
        ledger.in_memory_unacked -= lot.unsettled
        ledger.spooled += lot.unsettled

    def _defer(self, group: Group) -> None:
        """Let go of all that the documents take in memory, originals as well."""
        assert group.record is not None
        self._spool.defer(group.record)
        for chunk in group.chunks:
            self._backpressure.release(chunk.held_bytes)

    # delivering what memory could not hold

    async def feed(self) -> None:
        """Bring deferred documents back from disk, oldest first, as far as there is room."""
        size_bytes = 0  # of the last record: the next one may take as much
        while True:
            if not self._spool.has_deferred or not self.has_room_for(size_bytes):
                await asyncio.sleep(IDLE_S)
                continue
            try:
                recovered = await asyncio.to_thread(self._spool.bring_back)
            except RecordDamaged as error:
                self._lose(error.sequences, str(error))
            except (OSError, SpoolError) as error:
                log.error("a record of the spool can not be read; trying again", reason=str(error))
                await asyncio.sleep(1.0)
            else:
                assert recovered is not None  # nobody else brings any back
                size_bytes = len(recovered.payload)
                self.deliver(recovered, self._spool)

    def has_room_for(self, size_bytes: int) -> bool:
        """Whether so much of the backlog may come into memory; one record always may."""
        pending_bytes, most = self._backpressure.pending_bytes, self._backpressure.max_pending_bytes
        if self._is_stopping:
            return False
        if self._fed_bytes and self._fed_bytes + size_bytes > BACKLOG_SHARE * most:
            return False
        return not pending_bytes or pending_bytes + size_bytes <= FED_SHARE * most

    def deliver(self, recovered: Recovered, keeper: Keeper) -> None:
        """Send documents that were read back from disk, where they count as spooled."""
        count, first = recovered.count, recovered.first_sequence
        lot = Lot(NoIntake(), count, is_spooled=True)
        chunk = Chunk(recovered.payload, count, lot, range(first, first + count), range(count))
        lot.keeper = _Fed(keeper, count, functools.partial(self._note_settled, chunk.held_bytes))
        self._fed_bytes += chunk.held_bytes
        self._backpressure.hold(chunk.held_bytes)
        self._batcher.add(chunk)

    def _note_settled(self, size_bytes: int) -> None:
        self._fed_bytes -= size_bytes

    def _lose(self, sequences: range, reason: str) -> None:
        """Records that are damaged on disk: counted, named, and not waited for."""
        documents = len(sequences)
        log.error("documents are lost: damaged in the spool", documents=documents, reason=reason)
        self._scoreboard.add(metrics.SPOOL_DAMAGED)
        ledger = self._scoreboard.ledger
        ledger.spooled -= documents
        ledger.lost_acked += documents
        self._scoreboard.publish()
        self._spool.settle(sequences)

    # the end

    def stop_feeding(self) -> None:
        """The process is ending: what is on disk and not in memory stays there."""
        self._is_stopping = True

    async def close(self, timeout_s: float) -> None:
        """What is not delivered stays on disk for the next process."""
        await asyncio.to_thread(self._spool.close, timeout_s)

    def show(self) -> None:
        """Gauges."""
        board, spool = self._scoreboard, self._spool
        board.set(metrics.SPOOL_BYTES, spool.total_bytes)
        board.set(metrics.SPOOL_OLDEST_AGE, int(spool.oldest_age_s))


def _refusal(error: SpoolError) -> RequestError:
    kind = "spool_full" if isinstance(error, SpoolFull) else "spool_unavailable"
    return Unavailable(
        f"the documents could not be made durable: {error}; they may arrive all the same",
        type=kind,
        retry_after_s=5,
    )

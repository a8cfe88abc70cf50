"""What makes an ack durable: chunks go to the spool first, and on from there.

    pipeline ─▶ spool ─▶ fdatasync ─▶ (ack) ─▶ batcher        while Elasticsearch keeps up
                                        └─▶ backlog           while it does not: memory is let go,
                                                              the bytes are read back from disk
    orphans' records ──────────────────────▶ batcher          interleaved with the backlog

Chunks of one turn of the loop share a record: a record costs 15 µs, which small posts would feel.
Live chunks may fill half of the pending bytes, the backlog is fed up to three quarters: after an
outage both go on, oldest first, and neither starves the other.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from ingest import metrics
from ingest.backpressure import Backpressure
from ingest.batcher import Batcher
from ingest.chunk import Chunk, Lot
from ingest.errors import RequestError, Shed, Unavailable
from ingest.intake import Intake
from ingest.scoreboard import Scoreboard
from ingest.spool import DiskSpool, Record, RecordDamaged, SpoolError, SpoolFull, SpoolUnavailable
from ingest.spool.committer import OnCommitted

LIVE_SHARE = 0.5
BACKLOG_SHARE = 0.75
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

    @property
    def spooled_bytes(self) -> int:
        return sum(chunk.spooled_bytes for chunk in self.chunks)


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
        self._backlog: deque[Group] = deque()
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
        self._uncommitted_bytes += len(chunk.bulk)
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
            self._uncommitted_bytes -= sum(len(chunk.bulk) for chunk in group.chunks)
            if error is None:
                self._scoreboard.add(metrics.SPOOL_COMMITTED, len(group.chunks))
                for chunk in group.chunks:
                    self._count_spooled(chunk.lot)
            if error is None and self._is_live_full:
                self._set_aside(group)
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

    @property
    def _is_live_full(self) -> bool:
        room = self._backpressure
        live_bytes = room.pending_bytes - self._uncommitted_bytes
        return live_bytes > LIVE_SHARE * room.max_pending_bytes

    def _count_spooled(self, lot: Lot) -> None:
        ledger = self._scoreboard.ledger
        lot.is_spooled = True
        ledger.in_memory_unacked -= lot.unsettled
        ledger.spooled += lot.unsettled

    def _set_aside(self, group: Group) -> None:
        """Keep only the handles; each chunk remembers its size in the record."""
        for chunk in group.chunks:
            self._backpressure.release(len(chunk.bulk))  # originals stay
            chunk.spooled_bytes, chunk.bulk = len(chunk.bulk), b""
        self._backlog.append(group)

    # delivering what memory could not hold

    async def feed(self) -> None:
        """Bring the backlog back from disk, oldest first, as far as there is room."""
        while True:
            if not self._backlog or not self.has_room_for(self._backlog[0].spooled_bytes):
                await asyncio.sleep(IDLE_S)
                continue
            group = self._backlog.popleft()
            assert group.record is not None
            try:
                payload = await asyncio.to_thread(self._spool.read, group.record)
            except RecordDamaged as error:
                self._lose(group, str(error))
            except (OSError, SpoolError) as error:
                log.error("a record of the spool can not be read; trying again", reason=str(error))
                self._backlog.appendleft(group)
                await asyncio.sleep(1.0)
            else:
                self._bring_back(group, payload)

    def _bring_back(self, group: Group, payload: bytes) -> None:
        start = 0
        for chunk in group.chunks:
            chunk.bulk = payload[start : start + chunk.spooled_bytes]
            start += chunk.spooled_bytes
            self.deliver(chunk)

    def has_room_for(self, size_bytes: int) -> bool:
        """Whether so much of the backlog may come into memory; one record always may."""
        room = self._backpressure
        share = BACKLOG_SHARE * room.max_pending_bytes
        is_room = room.pending_bytes + size_bytes <= share or not room.pending_bytes
        return is_room and not self._is_stopping

    def deliver(self, chunk: Chunk) -> None:
        """Send documents that were read back from disk."""
        self._backpressure.hold(len(chunk.bulk))
        self._batcher.add(chunk)

    def _lose(self, group: Group, reason: str) -> None:
        """A record that is damaged on disk: counted, named, and not waited for."""
        log.error("documents are lost: damaged in the spool", documents=group.count, reason=reason)
        self._scoreboard.add(metrics.SPOOL_DAMAGED)
        ledger = self._scoreboard.ledger
        for chunk in group.chunks:
            ledger.spooled -= chunk.count
            ledger.lost_acked += chunk.count
            chunk.lot.unsettled = 0
        self._scoreboard.publish()
        for chunk in group.chunks:
            self._spool.settle(chunk.sequences)
            self._backpressure.release(chunk.held_bytes)  # the originals

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

"""What makes an ack durable: chunks go to the spool first, and on from there.

    pipeline ─▶ spool ─▶ fdatasync ─▶ (ack) ─▶ batcher        while Elasticsearch keeps up
                                        └─▶ backlog           while it does not: memory is let go,
                                                              the bytes are read back from disk
    orphans' records ──────────────────────▶ batcher          interleaved with the backlog

Live chunks may fill half of the pending bytes, the backlog is fed up to three quarters: after an
outage both go on, oldest first, and neither starves the other.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

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
log = structlog.get_logger(__name__)


class Spooling:
    """The durable part of one worker's way; everything here runs in the event loop."""

    def __init__(
        self,
        open_spool: Callable[[OnCommitted[Chunk]], DiskSpool[Chunk]],
        batcher: Batcher,
        backpressure: Backpressure,
        scoreboard: Scoreboard,
        loop: asyncio.AbstractEventLoop,
    ):
        self._batcher = batcher
        self._backpressure = backpressure
        self._scoreboard = scoreboard
        self._records: dict[int, Record] = {}  # by first sequence, while a commit is awaited
        self._backlog: deque[tuple[Record, Chunk]] = deque()
        self._is_stopping = False
        self._spool = open_spool(
            lambda *group: loop.call_soon_threadsafe(self._on_committed, *group)
        )

    @property
    def backlog_documents(self) -> int:
        return sum(record.count for record, _ in self._backlog)

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
        """Queue a chunk for the disk; it is delivered whatever becomes of that."""
        chunk.lot.keeper = self._spool
        intake.uncommitted += chunk.count
        try:
            record = self._spool.append(chunk.bulk, chunk.count, chunk.sequences[0], chunk)
        except SpoolUnavailable as error:
            chunk.lot.keeper = None
            self._batcher.add(chunk)
            intake.commit(chunk.positions, _refusal(error))
            return
        self._records[chunk.sequences[0]] = record

    def _on_committed(self, chunks: Sequence[Chunk], error: SpoolError | None) -> None:
        refusal = None if error is None else _refusal(error)
        for chunk in chunks:
            record = self._records.pop(chunk.sequences[0])
            if error is None:
                self._count_spooled(chunk.lot)
            self._scoreboard.add(metrics.SPOOL_COMMITTED)
            if error is None and self._is_live_full:
                self._backpressure.release(len(chunk.bulk))
                chunk.bulk = b""
                self._backlog.append((record, chunk))
            else:
                self._batcher.add(chunk)
        self._scoreboard.publish()
        for chunk in chunks:
            intake = chunk.lot.receipt
            assert isinstance(intake, Intake)
            intake.commit(chunk.positions, refusal)

    @property
    def _is_live_full(self) -> bool:
        room = self._backpressure
        return room.pending_bytes > LIVE_SHARE * room.max_pending_bytes

    def _count_spooled(self, lot: Lot) -> None:
        ledger = self._scoreboard.ledger
        lot.is_spooled = True
        ledger.in_memory_unacked -= lot.unsettled
        ledger.spooled += lot.unsettled

    # delivering what memory could not hold

    async def feed(self) -> None:
        """Bring the backlog back from disk, oldest first, as far as there is room."""
        while True:
            if not self._backlog or not self.has_room_for_backlog:
                await asyncio.sleep(IDLE_S)
                continue
            record, chunk = self._backlog.popleft()
            try:
                chunk.bulk = await asyncio.to_thread(self._spool.read, record)
            except RecordDamaged as error:
                self.lose(chunk.lot, chunk.sequences, str(error))
            except (OSError, SpoolError) as error:
                log.error("a record of the spool can not be read; trying again", reason=str(error))
                self._backlog.appendleft((record, chunk))
                await asyncio.sleep(1.0)
            else:
                self.deliver(chunk)

    @property
    def has_room_for_backlog(self) -> bool:
        room = self._backpressure
        is_room = room.pending_bytes < BACKLOG_SHARE * room.max_pending_bytes
        return is_room and not self._is_stopping

    def stop_feeding(self) -> None:
        """The process is ending: what is on disk and not in memory stays there."""
        self._is_stopping = True

    def deliver(self, chunk: Chunk) -> None:
        """Send documents that were read back from disk."""
        self._backpressure.hold(len(chunk.bulk))
        self._batcher.add(chunk)

    def lose(self, lot: Lot, sequences: Sequence[int], reason: str) -> None:
        """Records that are damaged on disk: counted, named, and not waited for."""
        log.error(
            "documents are lost: damaged in the spool", documents=lot.unsettled, reason=reason
        )
        ledger = self._scoreboard.ledger
        ledger.spooled -= lot.unsettled
        ledger.lost_acked += lot.unsettled
        lot.unsettled = 0
        self._scoreboard.publish()
        self._scoreboard.add(metrics.SPOOL_DAMAGED)
        if lot.keeper is not None:
            lot.keeper.settle(sequences)

    # the end

    async def close(self, timeout_s: float) -> None:
        """What is not delivered stays on disk for the next process."""
        await asyncio.to_thread(self._spool.close, timeout_s)

    def show(self) -> None:
        """Gauges."""
        board, spool = self._scoreboard, self._spool
        board.set(metrics.SPOOL_BYTES, spool.used_bytes)
        board.set(metrics.SPOOL_OLDEST_AGE, int(spool.oldest_age_s))


def _refusal(error: SpoolError) -> RequestError:
    kind = "spool_full" if isinstance(error, SpoolFull) else "spool_unavailable"
    return Unavailable(
        f"the documents could not be made durable: {error}; they may arrive all the same",
        type=kind,
        retry_after_s=5,
    )

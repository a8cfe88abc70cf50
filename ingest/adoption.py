"""Delivers what dead processes left in their spools: whoever gets the lock, one at a time."""

import asyncio
from pathlib import Path

import structlog

from ingest import metrics
from ingest.chunk import Chunk, Lot
from ingest.intake import NoIntake
from ingest.scoreboard import Scoreboard
from ingest.spool import Orphan, Recovered, SpoolError, Surroundings, adopt, orphans
from ingest.spooling import Spooling

LOOK_S = 30.0  # how often; also done at the start
ADVANCE_S = 1.0
ROOM_S = 0.05
log = structlog.get_logger(__name__)


class Adoption:
    """Looks for orphaned spool directories and drains them beside the live traffic."""

    def __init__(
        self,
        data_dir: Path,
        surroundings: Surroundings,
        spooling: Spooling,
        scoreboard: Scoreboard,
    ):
        self._data_dir = data_dir
        self._surroundings = surroundings
        self._spooling = spooling
        self._scoreboard = scoreboard

    async def keep_looking(self) -> None:
        while True:
            for path in await asyncio.to_thread(orphans, self._data_dir, self._surroundings):
                try:
                    await self._adopt(path)
                except (OSError, SpoolError) as error:
                    log.error(
                        "a spool can not be adopted; it stays", path=str(path), reason=str(error)
                    )
            await asyncio.sleep(LOOK_S)

    async def _adopt(self, path: Path) -> None:
        orphan = await asyncio.to_thread(adopt, path, self._surroundings)
        if orphan is None:
            return
        log.warning("adopted the spool of a process that is gone", path=str(path))
        self._scoreboard.add(metrics.SPOOL_ADOPTED)
        try:
            await self._drain(orphan)
        except BaseException:
            orphan.close()
            raise

    async def _drain(self, orphan: Orphan) -> None:
        records = orphan.records()
        documents = 0
        while (recovered := await asyncio.to_thread(next, records, None)) is not None:
            documents += recovered.count
            self._deliver(orphan, recovered)
            while not self._spooling.has_room_for_backlog:
                await asyncio.sleep(ROOM_S)
        self._scoreboard.add(metrics.SPOOL_DAMAGED, orphan.damage.damaged_ranges)
        while not orphan.is_drained:
            await asyncio.sleep(ADVANCE_S)
            await asyncio.to_thread(orphan.advance)
        await asyncio.to_thread(orphan.remove)
        log.info("drained and removed an adopted spool", path=str(orphan.path), documents=documents)

    def _deliver(self, orphan: Orphan, recovered: Recovered) -> None:
        count, first = recovered.count, recovered.first_sequence
        ledger = self._scoreboard.ledger
        ledger.recovered += count
        ledger.spooled += count
        self._scoreboard.publish()
        lot = Lot(NoIntake(), count, orphan, is_spooled=True)
        sequences = range(first, first + count)
        self._spooling.deliver(Chunk(recovered.payload, count, lot, sequences, range(count)))

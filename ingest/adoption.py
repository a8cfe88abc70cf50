"""Delivers what dead processes left in their spools: whoever gets the lock, one at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from ingest import metrics
from ingest.scoreboard import Scoreboard
from ingest.spool import Orphan, Recovered, SpoolError, Surroundings, adopt, orphans
from ingest.spooling import Spooling

T = TypeVar("T")

LOOK_S = 5.0  # how often; also done at the start. It takes some 20 µs a directory
ROOM_S = 0.05
log = structlog.get_logger(__name__)


class Adoption:
    """Looks for orphaned spool directories and drains them beside the live traffic.

    All that touches a disk happens in one thread, one after the other: a directory is given up
    only behind what is still being done in it.
    """

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
        self._complaints: dict[Path, str] = {}
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="adoption")

    async def keep_looking(self) -> None:
        while True:
            for path in await self._find():
                try:
                    await self._adopt(path)
                except (OSError, SpoolError) as error:
                    self._complain(path, str(error))
            await asyncio.sleep(LOOK_S)

    async def _find(self) -> list[Path]:
        try:
            return await self._on_disk(lambda: orphans(self._data_dir, self._surroundings))
        except OSError as error:
            self._complain(self._data_dir, str(error))
            return []

    def _complain(self, path: Path, reason: str) -> None:
        """Once: it is tried again and again."""
        if self._complaints.get(path) != reason:
            self._complaints[path] = reason
            log.error("spools can not be adopted; they stay", path=str(path), reason=reason)

    async def _adopt(self, path: Path) -> None:
        orphan = await self._on_disk(lambda: adopt(path, self._surroundings))
        if orphan is None:
            return
        log.warning("adopted the spool of a process that is gone", path=str(path))
        self._scoreboard.add(metrics.SPOOL_ADOPTED)
        try:
            await self._drain(orphan)
        except BaseException:
            self._disk.submit(orphan.close)
            raise

    async def _drain(self, orphan: Orphan) -> None:
        records = orphan.records()
        documents = 0
        while (recovered := await self._on_disk(lambda: next(records, None))) is not None:
            documents += recovered.count
            if recovered.missing_before:
                while orphan.documents > recovered.count:  # the cursor can't pass them before
                    await asyncio.sleep(ROOM_S)
                self._lose(orphan, recovered.missing_before)
                await self._on_disk(orphan.advance)
            self._deliver(orphan, recovered)
            while not self._spooling.has_room_for(len(recovered.payload)):
                await asyncio.sleep(ROOM_S)
        self._scoreboard.add(metrics.SPOOL_DAMAGED, orphan.damage.damaged_ranges)
        while not orphan.is_drained:
            await asyncio.sleep(ROOM_S)
            await self._on_disk(orphan.advance_if_due)
        if orphan.missing_at_end:
            self._lose(orphan, orphan.missing_at_end)
        await self._on_disk(orphan.remove)
        log.info("drained and removed an adopted spool", path=str(orphan.path), documents=documents)

    def _deliver(self, orphan: Orphan, recovered: Recovered) -> None:
        ledger = self._scoreboard.ledger
        ledger.recovered += recovered.count
        ledger.spooled += recovered.count
        self._scoreboard.publish()
        self._spooling.deliver(recovered, orphan)

    def _lose(self, orphan: Orphan, documents: int) -> None:
        """Documents of damaged records came out of the spool, too, and end here."""
        log.error(
            "documents are lost: damaged in an adopted spool; their bytes are in quarantine",
            documents=documents,
            path=str(orphan.path),
        )
        ledger = self._scoreboard.ledger
        ledger.recovered += documents
        ledger.lost_acked += documents
        self._scoreboard.publish()

    async def _on_disk(self, operation: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, operation)

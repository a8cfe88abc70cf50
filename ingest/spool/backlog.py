"""Reads the deferred records back, oldest first.

Where the next one lies follows from the one before, so no handle of each is kept in memory. Each is
proven by its checksum. Where one is damaged, the next sound one is searched for, and the sequences
tell how many documents are missing between.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ingest.spool.errors import RecordDamaged
from ingest.spool.files import Files
from ingest.spool.format import Position
from ingest.spool.quarantine import Quarantine
from ingest.spool.reclaimer import Reclaimer
from ingest.spool.recovered import Recovered
from ingest.spool.recovery import DamagedRange, FoundRecord, Scan
from ingest.spool.stretch import Stretch
from ingest.spool.unsettled import Unsettled


class Backlog:
    """The deferred records of one owned directory. One thread at a time may read them."""

    def __init__(
        self, files: Files, reclaimer: Reclaimer, unsettled: Unsettled, quarantine: Quarantine
    ) -> None:
        self._files = files
        self._reclaimer = reclaimer
        self._unsettled = unsettled
        self._quarantine = quarantine

    def bring_back(self) -> Recovered | None:
        """The oldest deferred record, deferred no longer; None where there is none.

        Raises RecordDamaged, naming what is missing before the next sound record; OSError, which
        leaves everything as it was.
        """
        stretch = self._unsettled.oldest_stretch
        if stretch is None:
            return None
        start = self._reclaimer.at_or_behind(Position(stretch.file, stretch.offset, 0))
        with self._scan(start.file, self._reclaimer.size(start.file)) as scan:
            found = scan.read_record(start.offset)
        if found is None or found.first_sequence != stretch.first_sequence:
            raise self._pass_over_damage(start, stretch)
        record = self._unsettled.bring_back(
            found.count, found.end - found.offset, Position(start.file, found.end, 0)
        )
        return Recovered(found.payload, found.count, found.first_sequence, record)

    @contextmanager
    def _scan(self, number: int, end: int) -> Iterator[Scan]:
        descriptor = self._files.open_for_reading(self._reclaimer.path(number))
        try:
            yield Scan(self._files, descriptor, self._reclaimer.salt(number), end)
        finally:
            self._files.close(descriptor)

    def _pass_over_damage(self, start: Position, stretch: Stretch) -> RecordDamaged:
        """Puts the damage into quarantine; what is missing gets a handle, to be settled as lost."""
        missing_from, end_sequence = stretch.first_sequence, stretch.end_sequence
        rest, found, passed_bytes = self._find_next(start, missing_from)
        sequences = range(missing_from, end_sequence if found is None else min(found, end_sequence))
        self._unsettled.bring_back(len(sequences), min(passed_bytes, stretch.size), rest)
        return RecordDamaged(f"{self._reclaimer.path(start.file)} at {start.offset}", sequences)

    def _find_next(self, at: Position, sequence: int) -> tuple[Position, int | None, int]:
        """Where the next sound record of this sequence or a later one lies, its sequence, and the
        bytes before it; where there is none, the end, which more may be written behind meanwhile.
        """
        passed_bytes = 0
        while True:
            end = self._reclaimer.size(at.file)
            found = self._search(at, end, sequence)
            if found is not None:
                passed_bytes += found.offset - at.offset
                return Position(at.file, found.offset, 0), found.first_sequence, passed_bytes
            passed_bytes += end - at.offset
            following = self._reclaimer.at_or_behind(Position(at.file, end, 0))
            if following.file == at.file:
                return following, None, passed_bytes
            at = following

    def _search(self, at: Position, end: int, sequence: int) -> FoundRecord | None:
        """The first such record before the file's `end`; what is damaged goes into quarantine."""
        with self._scan(at.file, end) as scan:
            for item in scan.items(at.offset):
                if isinstance(item, DamagedRange):
                    path = self._reclaimer.path(at.file)
                    self._quarantine.keep(scan, at.file, path, item)
                elif item.first_sequence >= sequence:
                    return item
        return None

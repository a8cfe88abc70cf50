"""Reads the deferred records back, oldest first.

Where the next one lies follows from the one before, so no handle of each is kept in memory. Each is
proven by its checksum. Where one is damaged, the next sound one is searched for, and the sequences
tell how many documents are missing between.
"""

from ingest.spool.errors import RecordDamaged
from ingest.spool.files import Files
from ingest.spool.format import (
    RECORD_HEADER_BYTES,
    Position,
    is_record_intact,
    try_record_header,
)
from ingest.spool.quarantine import Quarantine
from ingest.spool.reclaimer import Reclaimer
from ingest.spool.recovered import Recovered
from ingest.spool.recovery import DamagedRange, FoundRecord, Scan, read_fully
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
        found = self._read(start, stretch)
        if found is None:
            raise self._pass_over_damage(start, stretch)
        record = self._unsettled.bring_back(
            found.count, found.end - found.offset, Position(start.file, found.end, 0)
        )
        return Recovered(found.payload, found.count, found.first_sequence, record)

    def _read(self, at: Position, stretch: Stretch) -> FoundRecord | None:
        """None unless the stretch's next record lies there, undamaged."""
        descriptor = self._files.open_for_reading(self._reclaimer.path(at.file))
        try:
            start = at.offset + RECORD_HEADER_BYTES
            content = read_fully(self._files.pread, descriptor, RECORD_HEADER_BYTES, at.offset)
            room_bytes = self._reclaimer.size(at.file) - at.offset
            header = try_record_header(content, self._reclaimer.salt(at.file), room_bytes)
            if header is None or header.first_sequence != stretch.first_sequence:
                return None
            payload = read_fully(self._files.pread, descriptor, header.length, start)
        finally:
            self._files.close(descriptor)
        if len(payload) != header.length or not is_record_intact(content, payload):
            return None
        end = start + header.length
        return FoundRecord(at.offset, end, header.first_sequence, header.count, payload)

    def _pass_over_damage(self, start: Position, stretch: Stretch) -> RecordDamaged:
        """Puts the damage into quarantine; what is missing gets a handle, to be settled as lost."""
        rest, next_sequence, size = self._find_next(start, stretch)
        missing = self._unsettled.bring_back(
            next_sequence - stretch.first_sequence, min(size, stretch.size), rest
        )
        path = self._reclaimer.path(start.file)
        return RecordDamaged(
            f"{path} at {start.offset}",
            range(missing.first_sequence, missing.first_sequence + missing.count),
        )

    def _find_next(self, at: Position, stretch: Stretch) -> tuple[Position, int, int]:
        """Where the next sound record lies, its sequence, and the bytes before it; where none is
        left of the stretch, its end."""
        passed_bytes = 0
        while True:
            end = self._reclaimer.size(at.file)
            found = self._search(at, end, stretch)
            if found is not None:
                sequence = min(found.first_sequence, stretch.end_sequence)
                passed_bytes += found.offset - at.offset
                return Position(at.file, found.offset, 0), sequence, passed_bytes
            passed_bytes += end - at.offset
            following = self._reclaimer.at_or_behind(Position(at.file, end, 0))
            if following.file == at.file:
                return following, stretch.end_sequence, passed_bytes
            at = following

    def _search(self, at: Position, end: int, stretch: Stretch) -> FoundRecord | None:
        """The first sound record in the rest of a file; what is damaged goes into quarantine."""
        path = self._reclaimer.path(at.file)
        descriptor = self._files.open_for_reading(path)
        try:
            scan = Scan(self._files, descriptor, self._reclaimer.salt(at.file), end)
            for item in scan.items(at.offset):
                if isinstance(item, DamagedRange):
                    self._quarantine.keep(scan, at.file, path, item)
                elif item.first_sequence >= stretch.first_sequence:
                    return item
        finally:
            self._files.close(descriptor)
        return None

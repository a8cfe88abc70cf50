"""Adoption: a process takes over the directory that a dead one left, and drains it.

    for path in orphans(data_dir):
        orphan = adopt(path)                   # None: somebody was quicker
        for recovered in orphan.records():     # in order; reads as fast as they are taken
            ... count recovered.missing_before as lost, once all before it is settled
            ... send it, and call orphan.settle(...) as outcomes arrive
        while not orphan.is_drained: ...       # wait, calling orphan.advance() about once a second
        ... count orphan.missing_at_end as lost
        orphan.remove()

The directory's own cursor goes on, so that an adopter killed half-way repeats about a second's
worth. Nothing is appended to an adopted directory, and nothing in it is counted on to be whole.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from ingest.spool.directory import (
    Directory,
    is_owned,
    list_directories,
    try_lock_directory,
)
from ingest.spool.errors import UnknownVersion
from ingest.spool.format import FILE_HEADER_BYTES, Position
from ingest.spool.missing import Missing
from ingest.spool.quarantine import Quarantine
from ingest.spool.reclaimer import Reclaimer
from ingest.spool.record import Record
from ingest.spool.recovered import Damage, Recovered
from ingest.spool.recovery import DamagedRange, FoundRecord, Scan
from ingest.spool.settings import Surroundings
from ingest.spool.survey import Survey, SurveyedFile, survey
from ingest.spool.unsettled import Unsettled

ADVANCE_INTERVAL_S = 1.0

log = structlog.get_logger(__name__)


class Orphan:
    """An adopted directory, locked by this process. One thread reads, advances and removes;
    `settle` and the counts are for any thread.
    """

    def __init__(self, directory: Directory, found: Survey, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._files = surroundings.files
        self._directory = directory
        self._found = found
        self._reclaimer = Reclaimer(self._files, directory)
        for file in found.files:
            self._reclaimer.keep(file.number, file.name, file.size)
        start = self._reclaimer.cursor.position
        self._start_sequence = start.sequence
        self._missing = Missing(_first_sequence(start, found))
        self._unsettled = Unsettled(start.sequence)
        self._read_to = start
        self._is_read = False
        self._advanced_s = surroundings.clock_s()
        self._quarantine = Quarantine(self._files, directory.path)
        self.path = directory.path
        self.foreign = found.foreign
        self.damage = Damage()
        self.missing_at_end = 0  # documents of damaged records behind the last intact one

    def records(self) -> Iterator[Recovered]:
        """Streams what is not settled, oldest first, one record in memory at a time.

        Damaged ranges are kept aside, counted and passed over; a copy of a record is passed over
        too. Raises OSError when the disk can't be read.
        """
        for file in self._found.files:
            if not self._is_settled(file):
                yield from self._records_of(file)
                if not self._missing.is_open:
                    self._read_to = Position(file.number + 1, FILE_HEADER_BYTES, 0)
                self.advance_if_due()
        self._missing.end()
        self.missing_at_end = self._missing.take()
        self._read_to = self._end()
        self._is_read = True

    def settle(self, sequences: Sequence[int]) -> None:
        """These documents have their outcome. Unknown and repeated sequences are ignored."""
        self._unsettled.settle(sequences)

    def advance(self) -> None:
        """Persists how far all is settled and removes the files below; `records` does it as well.

        Raises OSError: the next call tries again, and until then a crash only repeats more.
        """
        self._advanced_s = self._surroundings.clock_s()
        self._reclaimer.advance(self._unsettled.low_water(self._read_to.file, self._read_to.offset))
        while self._reclaimer.is_freeing:
            self._reclaimer.free()

    def advance_if_due(self) -> None:
        """`advance`, about once a second."""
        if self._surroundings.clock_s() - self._advanced_s >= ADVANCE_INTERVAL_S:
            self.advance()

    def remove(self) -> bool:
        """Removes the drained directory and gives the lock up; False if foreign files are in it.

        Raises OSError, and ValueError when it is not drained.
        """
        if not self.is_drained:
            raise ValueError(f"spool directory {self.path} is not drained")
        self.advance()
        self._reclaimer.close()
        return self._directory.remove()

    def close(self) -> None:
        """Gives the lock up; what is not settled stays for the next adopter."""
        self._reclaimer.close()
        self._directory.close()

    @property
    def is_drained(self) -> bool:
        """Whether everything was read and settled."""
        return self._is_read and not self._unsettled.documents

    @property
    def documents(self) -> int:
        """Read and not settled yet."""
        return self._unsettled.documents

    @property
    def disk_bytes(self) -> int:
        """What is still on disk, settled or not."""
        return self._reclaimer.disk_bytes

    def _is_settled(self, file: SurveyedFile) -> bool:
        """Whether the cursor is past it: by number, and not gainsaid by the file's own sequence."""
        cursor = self._reclaimer.cursor.position
        if file.number >= cursor.file:
            return False
        return file.header is None or file.header.base_sequence < cursor.sequence

    def _records_of(self, file: SurveyedFile) -> Iterator[Recovered]:
        descriptor = self._files.open_for_writing(self.path / file.name)
        try:
            scan = Scan(self._files, descriptor, file.salt)
            self._meet_header(scan, descriptor, file)
            for item in scan.items(self._start_in(file)):
                if isinstance(item, DamagedRange):
                    told = scan.documents_told(item, self._missing.next_sequence)
                    self._missing.meet_damage(told)
                    self._set_aside(scan, descriptor, file, item, told)
                    continue  # the cursor stays before it until it is known how many are missing
                self._missing.meet_record(item.first_sequence, item.count)
                if item.first_sequence >= self._unsettled.next_sequence:
                    yield self._hand_out(file, item)
                elif item.first_sequence >= self._start_sequence:
                    self.damage.repeated_records += 1
                self._read_to = Position(file.number, item.end, 0)
                self.advance_if_due()
        finally:
            self._files.close(descriptor)

    def _meet_header(self, scan: Scan, descriptor: int, file: SurveyedFile) -> None:
        if file.header is not None:
            self._missing.begin_file(file.header.base_sequence)
            return
        if file.size <= FILE_HEADER_BYTES:
            self._missing.meet_damage(0)  # it may have been longer
        if file.size:
            self._set_aside(scan, descriptor, file, _lost_header(file), told=0)

    def _start_in(self, file: SurveyedFile) -> int:
        cursor = self._reclaimer.cursor.position
        is_in_this_file = file.number == cursor.file and cursor.offset <= file.size
        return cursor.offset if is_in_this_file else FILE_HEADER_BYTES

    def _hand_out(self, file: SurveyedFile, found: FoundRecord) -> Recovered:
        now_s = self._surroundings.clock_s()
        record = Record(found.first_sequence, found.count, len(found.payload), now_s)
        record.file, record.offset = file.number, found.offset
        self._unsettled.add(record)
        missing = self._missing.take()
        return Recovered(found.payload, found.count, found.first_sequence, record, missing)

    def _set_aside(
        self, scan: Scan, descriptor: int, file: SurveyedFile, damage: DamagedRange, told: int
    ) -> None:
        """A tail that tells of documents stays where it is, for whoever has to count them."""
        is_torn = damage.is_tail and not told
        self.damage.count(damage, is_torn=is_torn)
        log.warning(
            "damaged range of a spool file is kept aside",
            file=str(self.path / file.name),
            offset=damage.offset,
            length=damage.length,
            is_tail=damage.is_tail,
        )
        source = self.path / file.name
        if self._quarantine.keep(scan, file.number, source, damage) and is_torn:
            self._files.ftruncate(descriptor, damage.offset)
            self._files.fdatasync(descriptor)

    def _end(self) -> Position:
        last = self._found.files[-1].number if self._found.files else 0
        return Position(max(last + 1, self._reclaimer.cursor.position.file), FILE_HEADER_BYTES, 0)


def orphans(data_dir: Path, surroundings: Surroundings | None = None) -> list[Path]:
    """The spool directories that no living process owns; may change at any moment."""
    files = (surroundings or Surroundings()).files
    return [path for path in list_directories(files, data_dir) if not is_owned(files, path)]


def adopt(path: Path, surroundings: Surroundings | None = None) -> Orphan | None:
    """Takes a directory over; None if it is owned, gone or holds nothing but foreign files.

    Raises UnknownVersion, naming the file and leaving everything as it is; OSError.
    """
    surroundings = surroundings or Surroundings()
    directory = try_lock_directory(surroundings.files, path)
    if directory is None:
        return None
    try:
        found = survey(surroundings.files, path)
        if found.unknown_versions:
            names = ", ".join(found.unknown_versions)
            raise UnknownVersion(f"{path}: {names}: written by a newer version; left alone")
    except (OSError, UnknownVersion):
        directory.close()
        raise
    if found.foreign and not found.files:
        directory.close()
        return None
    return Orphan(directory, found, surroundings)


def _first_sequence(start: Position, found: Survey) -> int | None:
    """The sequence of the oldest document that the directory should hold; None if the cursor is
    lost and earlier files are gone.
    """
    is_lost = start.file < 1 and bool(found.files) and found.files[0].number > 1
    return None if is_lost else start.sequence


def _lost_header(file: SurveyedFile) -> DamagedRange:
    length = min(file.size, FILE_HEADER_BYTES)
    return DamagedRange(0, length, is_tail=length == file.size)

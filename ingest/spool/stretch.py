"""Many records on disk as one handle."""

from collections import deque

from ingest.spool.format import RECORD_HEADER_BYTES, Position
from ingest.spool.record import Record


class Stretch:
    """Deferred records that follow each other, however many: where the first lies, and where the
    last ends. Has what `Unsettled` needs of a record; its documents are not settled before each
    record is brought back and has a handle of its own.
    """

    __slots__ = ("_began_s", "appended_s", "count", "file", "first_sequence", "offset", "size")

    is_stored = True

    def __init__(self, record: Record) -> None:
        self.first_sequence = record.first_sequence
        self.count = record.count
        self.size = record.size
        self.file = record.file
        self.offset = record.offset
        self.appended_s = record.appended_s
        self._began_s = deque[tuple[int, float]]()  # later files, and when their first record came

    @property
    def unsettled(self) -> int:
        return self.count

    @property
    def end_sequence(self) -> int:
        return self.first_sequence + self.count

    @property
    def is_done(self) -> bool:
        return not self.count

    def append(self, record: Record) -> None:
        """The record that follows on."""
        last_file = self._began_s[-1][0] if self._began_s else self.file
        if record.file != last_file:
            self._began_s.append((record.file, record.appended_s))
        self.count += record.count
        self.size += record.size

    def give_up(self, count: int, size: int, rest: Position) -> Record:
        """A handle of the first `count` documents; what is left begins at `rest`.

        Its age is then that of the file's first record: an upper bound.
        """
        record = Record(self.first_sequence, count, size - RECORD_HEADER_BYTES, self.appended_s)
        record.file, record.offset = self.file, self.offset
        self.first_sequence += count
        self.count -= count
        self.size -= size
        self.file, self.offset = rest.file, rest.offset
        while self._began_s and self._began_s[0][0] <= self.file:
            _, self.appended_s = self._began_s.popleft()
        return record

    def settle(self, start: int, stop: int) -> int:
        """Nothing: what is deferred is out of everybody's reach."""
        return 0

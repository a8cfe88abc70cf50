"""What the spool still has to keep: records in the order of their sequences."""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from threading import Lock

from ingest.spool.format import Position
from ingest.spool.record import Record
from ingest.spool.stretch import Stretch

_COMPACT_AT = 4096


class Unsettled:
    """Records that are not wholly settled, and the low-water mark below which all are.

    Bulk requests complete out of order, so settled records wait here until those before them are
    settled too. Deferred records that follow each other share one handle, a stretch. Safe to use
    from several threads; no call takes longer than its own sequences.
    """

    def __init__(self, next_sequence: int = 0) -> None:
        self._lock = Lock()
        self._next_sequence = next_sequence
        self._records: list[Record | Stretch] = []
        self._firsts: list[int] = []
        self._stretches = deque[Stretch]()
        self._head = 0
        self._compact_at = _COMPACT_AT
        self.documents = 0
        self.bytes = 0
        self.settled_bytes_total = 0

    @property
    def next_sequence(self) -> int:
        """Every sequence below this one was seen."""
        return self._next_sequence

    def add(self, record: Record) -> None:
        """Raises ValueError unless the record's sequences lie above all earlier ones."""
        with self._lock:
            if record.first_sequence < self._next_sequence:
                raise ValueError(
                    f"sequence {record.first_sequence} was used: the next is {self._next_sequence}"
                )
            self._next_sequence = record.first_sequence + record.count
            if len(self._records) >= self._compact_at:
                self._compact()
            self._records.append(record)
            self._firsts.append(record.first_sequence)
            self.documents += record.count
            self.bytes += record.size

    def settle(self, sequences: Sequence[int]) -> None:
        """Settles these sequences; unknown and already settled ones are ignored."""
        with self._lock:
            if isinstance(sequences, range) and sequences.step == 1:
                self._settle(sequences.start, sequences.stop)
                return
            for sequence in sequences:
                self._settle(sequence, sequence + 1)

    def forget(self, record: Record) -> None:
        """Takes out a record that could not be written."""
        with self._lock:
            dropped = record.forget()
            self.documents -= dropped
            if dropped:
                self.bytes -= record.size

    def defer(self, record: Record) -> None:
        """It is stored, none of it is settled, and none will be until it is brought back."""
        with self._lock:
            index = self._index_of(record.first_sequence)
            before = self._records[index - 1] if index > self._head else None
            if isinstance(before, Stretch) and before.end_sequence == record.first_sequence:
                before.append(record)
                del self._records[index], self._firsts[index]
                return
            stretch = self._records[index] = Stretch(record)
            self._stretches.append(stretch)

    @property
    def oldest_stretch(self) -> Stretch | None:
        """Of the deferred records; None where there are none."""
        return self._stretches[0] if self._stretches else None

    def bring_back(self, count: int, size: int, rest: Position) -> Record:
        """A handle of the first `count` documents of the oldest stretch, which take `size` bytes;
        what is left of the stretch begins at `rest`."""
        with self._lock:
            stretch = self._stretches[0]
            index = self._index_of(stretch.first_sequence)
            record = stretch.give_up(count, size, rest)
            if stretch.is_done:
                self._records[index] = record
                self._stretches.popleft()
            else:
                self._firsts[index] = stretch.first_sequence
                self._records.insert(index, record)
                self._firsts.insert(index, record.first_sequence)
            return record

    def low_water(self, end_file: int, end_offset: int) -> Position:
        """The position of the oldest record to be kept, or the given end of what is written.

        Called by the thread that writes: no record becomes stored meanwhile.
        """
        with self._lock:
            oldest = self._find_oldest()
            if oldest is None:
                return Position(end_file, end_offset, self._next_sequence)
            if oldest.is_stored:
                return Position(oldest.file, oldest.offset, oldest.first_sequence)
            return Position(end_file, end_offset, oldest.first_sequence)

    def oldest_age_s(self, now_s: float) -> float:
        """How long the oldest record waits; 0 when there is none."""
        with self._lock:
            oldest = self._find_oldest()
        return now_s - oldest.appended_s if oldest else 0.0

    def _settle(self, start: int, stop: int) -> None:
        index = self._index_of(start)
        while index < len(self._firsts) and self._firsts[index] < stop:
            record = self._records[index]
            newly = record.settle(start, stop)
            self.documents -= newly
            if newly and not record.unsettled:
                self.bytes -= record.size
                self.settled_bytes_total += record.size
            index += 1

    def _index_of(self, sequence: int) -> int:
        """Of the record that holds it, if any does."""
        return max(bisect_right(self._firsts, sequence, self._head) - 1, self._head)

    def _find_oldest(self) -> Record | Stretch | None:
        while self._head < len(self._records) and self._records[self._head].is_done:
            self._head += 1
        return self._records[self._head] if self._head < len(self._records) else None

    def _compact(self) -> None:
        """Lets go of what is done, also behind a backlog that isn't."""
        self._records = [record for record in self._records if not record.is_done]
        self._firsts = [record.first_sequence for record in self._records]
        self._head = 0
        self._compact_at = max(_COMPACT_AT, 2 * len(self._records))

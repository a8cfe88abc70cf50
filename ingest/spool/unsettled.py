"""What the spool still has to keep: records in the order of their sequences."""

from bisect import bisect_right
from collections.abc import Sequence
from threading import Lock

from ingest.spool.format import Position
from ingest.spool.record import Record

_COMPACT_AT = 4096


class Unsettled:
    """Records that are not wholly settled, and the low-water mark below which all are.

    Bulk requests complete out of order, so settled records wait here until those before them are
    settled too. Safe to use from several threads; no call takes longer than its own sequences.
    """

    def __init__(self, next_sequence: int = 0) -> None:
        self._lock = Lock()
        self._next_sequence = next_sequence
        self._records: list[Record] = []
        self._firsts: list[int] = []
        self._head = 0
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
        index = max(bisect_right(self._firsts, start, self._head) - 1, self._head)
        while index < len(self._firsts) and self._firsts[index] < stop:
            record = self._records[index]
            newly = record.settle(start, stop)
            self.documents -= newly
            if newly and not record.unsettled:
                self.bytes -= record.size
                self.settled_bytes_total += record.size
            index += 1

    def _find_oldest(self) -> Record | None:
        while self._head < len(self._records) and self._records[self._head].is_done:
            self._head += 1
        if self._head > _COMPACT_AT and self._head * 2 > len(self._records):
            del self._records[: self._head]
            del self._firsts[: self._head]
            self._head = 0
        return self._records[self._head] if self._head < len(self._records) else None

"""One record on its way through the spool."""

from ingest.spool.format import RECORD_HEADER_BYTES

_QUEUED = 0
_FORGOTTEN = -1


class Record:
    """The handle of an appended chunk: `count` documents numbered from `first_sequence`.

    `file` and `offset` say where it lies once it is durable. What is settled of it is kept here
    too, a byte for each document, but only from the first partial settlement on.
    """

    __slots__ = (
        "_settled",
        "appended_s",
        "count",
        "file",
        "first_sequence",
        "length",
        "offset",
        "size",
        "unsettled",
    )

    def __init__(self, first_sequence: int, count: int, length: int, appended_s: float) -> None:
        self.first_sequence = first_sequence
        self.count = count
        self.length = length
        self.size = RECORD_HEADER_BYTES + length  # on disk
        self.appended_s = appended_s
        self.file = _QUEUED
        self.offset = 0
        self.unsettled = count
        self._settled: bytearray | None = None

    @property
    def is_stored(self) -> bool:
        """Whether it is proven to be on disk (settled or not)."""
        return self.file > _QUEUED

    @property
    def is_done(self) -> bool:
        """Whether the spool needs to keep it no longer."""
        return not self.unsettled and self.file != _QUEUED

    def forget(self) -> int:
        """It could not be written: the spool has nothing to keep. Returns what was unsettled."""
        dropped, self.unsettled = self.unsettled, 0
        self.file = _FORGOTTEN
        return dropped

    def settle(self, start: int, stop: int) -> int:
        """Settles its sequences within [start, stop); returns how many were not settled before."""
        start = max(start - self.first_sequence, 0)
        stop = min(stop - self.first_sequence, self.count)
        if stop - start == self.count:
            newly = self.unsettled
        elif start < stop and self.unsettled:
            newly = self._mark(start, stop)
        else:
            return 0
        self.unsettled -= newly
        return newly

    def _mark(self, start: int, stop: int) -> int:
        if self._settled is None:
            self._settled = bytearray(self.count)
        newly = self._settled.count(0, start, stop)
        self._settled[start:stop] = b"\1" * (stop - start)
        return newly

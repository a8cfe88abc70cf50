"""Room for what producers send: reserved before a body is accepted, so that the disk never fills.

Three bounds, each with a lower mark at which accepting starts again: the spool's own quota, the one
that it shares with all other spools of the data directory, and what must stay free on their file
system. Draining needs no room at all.
"""

import math
from threading import Lock

RESUME_RATIO = 0.9  # of the quota: accepting starts again below it
FREE_RESUME_RATIO = 1.1  # of the minimum free space: and above it
RETRY_AFTER_MAX_S = 30
_RATE_WEIGHT = 0.3  # of the newest measurement in the drain rate


class Quota:
    """Counts bytes: on disk, on the way to it, reserved, and free on the file system.

    `reserve` and `release` may come from any thread, `queue` from one at a time, the rest from
    the committer's. Queued is what was appended and not written yet: two totals, each with one
    writer, so that an append takes no lock here.
    """

    def __init__(
        self, limit_bytes: int, free_bytes_min: int, shared_limit_bytes: int | None = None
    ) -> None:
        self._lock = Lock()
        self._limit_bytes = limit_bytes
        self._free_bytes_min = free_bytes_min
        self._shared_limit_bytes = limit_bytes if shared_limit_bytes is None else shared_limit_bytes
        self._others_bytes = 0
        self._disk_bytes = 0
        self._appended_bytes = 0
        self._written_bytes = 0
        self._reserved_bytes = 0
        self._free_bytes: int | None = None  # unknown until it was measured
        self._rate_bytes_s = 0.0
        self.is_shedding = False

    @property
    def used_bytes(self) -> int:
        """On disk, on the way to it or reserved."""
        return self._disk_bytes + self._pending_bytes

    @property
    def total_bytes(self) -> int:
        """The same, and what all other spools of the data directory hold on disk."""
        return self.used_bytes + self._others_bytes

    @property
    def _pending_bytes(self) -> int:
        return self._appended_bytes - self._written_bytes + self._reserved_bytes

    def reserve(self, size: int) -> bool:
        """Sets `size` bytes aside, or says that there is no room now."""
        with self._lock:
            if self.is_shedding or self._is_over(size):
                self.is_shedding = True
                return False
            self._reserved_bytes += size
            return True

    def release(self, size: int) -> None:
        """Gives a reservation back: its bytes were appended, or will not come."""
        with self._lock:
            self._reserved_bytes -= size

    def retry_after_s(self) -> int:
        """When room is expected at the measured drain rate, whole seconds from 1 to 30."""
        with self._lock:
            excess = max(self._excess_bytes(), 1)
            if self._rate_bytes_s <= 0:
                return RETRY_AFTER_MAX_S
            return min(max(math.ceil(excess / self._rate_bytes_s), 1), RETRY_AFTER_MAX_S)

    def queue(self, size: int) -> None:
        """Bytes were handed to the committer."""
        self._appended_bytes += size

    def unqueue(self, size: int, disk_bytes: int) -> None:
        """The committer is through with these bytes; `disk_bytes` is what the files hold now."""
        with self._lock:
            self._written_bytes += size
            self._disk_bytes = disk_bytes
            if self._free_bytes is not None:
                self._free_bytes -= size  # until it is measured again

    def disk_is_full(self) -> None:
        """The disk itself refused bytes: wait until a measurement finds room."""
        with self._lock:
            self.is_shedding = True

    def measure(
        self,
        disk_bytes: int,
        free_bytes: int | None,
        settled_bytes: int,
        elapsed_s: float,
        others_bytes: int = 0,
    ) -> None:
        """About once a second: what is used and free now, and how much was settled meanwhile."""
        with self._lock:
            self._others_bytes = others_bytes
            self._disk_bytes = disk_bytes
            self._free_bytes = free_bytes
            if elapsed_s > 0:
                newest = settled_bytes / elapsed_s
                self._rate_bytes_s += _RATE_WEIGHT * (newest - self._rate_bytes_s)
            if self.is_shedding and self._excess_bytes() <= 0:
                self.is_shedding = False

    def _is_over(self, size: int) -> bool:
        if self.used_bytes + size > self._limit_bytes or self._shared_excess_bytes(1.0) + size > 0:
            return True
        if self._free_bytes is None:
            return False
        return self._free_bytes - self._pending_bytes - size < self._free_bytes_min

    def _excess_bytes(self) -> int:
        """What has to go before accepting starts again; 0 or less when nothing has to."""
        over_quota = max(
            self.used_bytes - int(self._limit_bytes * RESUME_RATIO),
            self._shared_excess_bytes(RESUME_RATIO),
        )
        if self._free_bytes is None:
            return over_quota
        wanted_free = int(self._free_bytes_min * FREE_RESUME_RATIO)
        return max(over_quota, wanted_free + self._pending_bytes - self._free_bytes)

    def _shared_excess_bytes(self, ratio: float) -> int:
        """What all spools together hold beyond that part of their quota; below it, negative."""
        return self.total_bytes - int(self._shared_limit_bytes * ratio)

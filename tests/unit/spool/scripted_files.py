"""Real files whose operations fail when they are told to, each fault once it is due."""

import os
from collections import defaultdict, deque
from collections.abc import Sequence
from pathlib import Path

from ingest.spool.files import Buffer, Files
from tests.unit.spool.rig import UnsyncedFiles

_PASS = 0


class ScriptedFiles(Files):
    """`fail` schedules errors by the name of the method; `fired` says what has happened."""

    def __init__(self) -> None:
        self._due: dict[str, deque[int]] = defaultdict(deque)
        self._always: dict[str, int] = {}
        self._short_counts: deque[int] = deque()
        self.filesystem = 0xEF53  # ext4
        self.free: int | None = None
        self.fired: list[str] = []
        self.synced_after_failure: list[int] = []
        self._failed_descriptors: set[int] = set()

    def fail(self, operation: str, error: int, *, passes: int = 0, times: int = 1) -> None:
        """Lets `passes` calls through, then raises OSError(error) `times` times."""
        self._due[operation].extend([_PASS] * passes + [error] * times)

    def fail_always(self, operation: str, error: int) -> None:
        self._always[operation] = error

    def write_short(self, *counts: int) -> None:
        """The next writes of records take only so many bytes, one count a call."""
        self._short_counts.extend(counts)

    def heal(self) -> None:
        self._due.clear()
        self._always.clear()
        self._short_counts.clear()

    def pwritev(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> int:
        if self._short_counts:
            self.fired.append("short")
            return os.pwrite(descriptor, b"".join(buffers)[: self._short_counts.popleft()], offset)
        self._judge("pwritev")
        return super().pwritev(descriptor, buffers, offset)

    def pwrite(self, descriptor: int, content: bytes, offset: int) -> int:
        self._judge("pwrite")
        return super().pwrite(descriptor, content, offset)

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        self._judge("pread")
        return super().pread(descriptor, length, offset)

    def fdatasync(self, descriptor: int) -> None:
        if descriptor in self._failed_descriptors:
            self.synced_after_failure.append(descriptor)
        try:
            self._judge("fdatasync")
        except OSError:
            self._failed_descriptors.add(descriptor)
            raise
        super().fdatasync(descriptor)

    def fsync_directory(self, descriptor: int) -> None:
        self._judge("fsync_directory")
        super().fsync_directory(descriptor)

    def open_new(self, path: Path) -> int:
        self._judge("open_new")
        return super().open_new(path)

    def open_or_create(self, path: Path) -> int:
        self._judge("open_or_create")
        return super().open_or_create(path)

    def open_for_writing(self, path: Path) -> int:
        self._judge("open_for_writing")
        return super().open_for_writing(path)

    def close(self, descriptor: int) -> None:
        self._failed_descriptors.discard(descriptor)
        super().close(descriptor)

    def ftruncate(self, descriptor: int, length: int) -> None:
        self._judge("ftruncate")
        super().ftruncate(descriptor, length)

    def shrink(self, descriptor: int, length: int) -> None:
        self._judge("shrink")
        super().shrink(descriptor, length)

    def unlink(self, path: Path) -> None:
        self._judge("unlink")
        super().unlink(path)

    def link(self, path: Path, other: Path) -> None:
        self._judge("link")
        super().link(path, other)

    def make_directory(self, path: Path) -> bool:
        self._judge("make_directory")
        return super().make_directory(path)

    def free_bytes(self, path: Path) -> int:
        return super().free_bytes(path) if self.free is None else self.free

    def filesystem_type(self, path: Path) -> int:
        return self.filesystem

    def _judge(self, operation: str) -> None:
        due = self._due[operation]
        error = due.popleft() if due else self._always.get(operation, _PASS)
        if error:
            self.fired.append(operation)
            raise OSError(error, os.strerror(error))


class QuickFiles(ScriptedFiles, UnsyncedFiles):
    """Faults by script, and nothing waits for the disk."""

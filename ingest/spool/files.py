"""Every file operation of the spool, so that tests can script faults and record what was done.

Nothing here retries, loops or hides an error: a short count and an OSError are the caller's to
judge. All directories are made 0700 and all files 0600.
"""

import ctypes
import fcntl
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ingest.failpoints import Hit, off

Buffer = bytes | bytearray | memoryview

_STATFS_BYTES = 256  # more than any libc's struct statfs


class Files:
    """The operating system's operations, one call each."""

    def open_new(self, path: Path) -> int:
        """Creates a file that must not exist, for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def open_or_create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def open_for_writing(self, path: Path) -> int:
        return os.open(path, os.O_RDWR)

    def open_for_reading(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def pwritev(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> int:
        """Writes spool records; may write less than asked."""
        return os.pwritev(descriptor, buffers, offset)

    def pwrite(self, descriptor: int, content: bytes, offset: int) -> int:
        """Writes the cursor and what goes to quarantine; may write less than asked."""
        return os.pwrite(descriptor, content, offset)

    def pread(self, descriptor: int, length: int, offset: int) -> bytes:
        return os.pread(descriptor, length, offset)

    def fdatasync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def fsync_directory(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def ftruncate(self, descriptor: int, length: int) -> None:
        os.ftruncate(descriptor, length)

    def shrink(self, descriptor: int, length: int) -> None:
        """Gives room back of a file that has no name any more."""
        os.ftruncate(descriptor, length)

    def size(self, descriptor: int) -> int:
        return os.fstat(descriptor).st_size

    def has_name(self, descriptor: int) -> bool:
        """Whether a path still leads to the open file."""
        return os.fstat(descriptor).st_nlink > 0

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def link(self, path: Path, other: Path) -> None:
        """A second name for a file; takes no room for its content."""
        os.link(path, other)

    def make_directory(self, path: Path) -> bool:
        """Makes a directory; False if it is there already."""
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            return False
        return True

    def rmdir(self, path: Path) -> None:
        os.rmdir(path)

    def names(self, path: Path) -> list[str]:
        return sorted(os.listdir(path))

    def try_lock(self, descriptor: int) -> bool:
        """Takes the `flock` without waiting; it lives as long as the descriptor."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_same_file(self, descriptor: int, path: Path) -> bool:
        """Whether the path still names the file that is open."""
        try:
            return os.path.samestat(os.fstat(descriptor), os.stat(path))
        except FileNotFoundError:
            return False

    def pause(self, seconds: float) -> None:
        """Waits for another process that is about to let go of a file."""
        time.sleep(seconds)

    def free_bytes(self, path: Path) -> int:
        """What an unprivileged process may still write to this file system."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    def content_bytes(self, path: Path) -> int:
        """The sizes of all files in a directory; 0 if it is gone."""
        total = 0
        with suppress(FileNotFoundError), os.scandir(path) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    total += entry.stat().st_size
        return total

    def filesystem_type(self, path: Path) -> int:
        """The `f_type` of statfs(2), which `os.statvfs` leaves out; 0 where it can't be told."""
        if not sys.platform.startswith("linux"):
            return 0
        answer = ctypes.create_string_buffer(_STATFS_BYTES)
        if ctypes.CDLL(None).statfs(os.fsencode(path), answer) != 0:
            return 0
        return ctypes.c_long.from_buffer(answer).value & 0xFFFFFFFF


class FailpointFiles(Files):
    """The same operations with a failpoint before and after each that changes something."""

    def __init__(self, hit: Hit) -> None:
        self._hit = hit

    def open_new(self, path: Path) -> int:
        self._hit("before_create")
        descriptor = super().open_new(path)
        self._hit("after_create")
        return descriptor

    def pwritev(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> int:
        self._hit("before_write")
        joined = b"".join(buffers)
        half = os.pwrite(descriptor, joined[: len(joined) // 2], offset)
        self._hit("mid_write")
        written = half + os.pwrite(descriptor, joined[half:], offset + half)
        self._hit("after_write")
        return written

    def pwrite(self, descriptor: int, content: bytes, offset: int) -> int:
        self._hit("before_cursor_write")
        written = super().pwrite(descriptor, content, offset)
        self._hit("after_cursor_write")
        return written

    def fdatasync(self, descriptor: int) -> None:
        self._hit("before_fdatasync")
        super().fdatasync(descriptor)
        self._hit("after_fdatasync")

    def fsync_directory(self, descriptor: int) -> None:
        self._hit("before_directory_fsync")
        super().fsync_directory(descriptor)
        self._hit("after_directory_fsync")

    def ftruncate(self, descriptor: int, length: int) -> None:
        self._hit("before_truncate")
        super().ftruncate(descriptor, length)
        self._hit("after_truncate")

    def shrink(self, descriptor: int, length: int) -> None:
        self._hit("before_shrink")
        super().shrink(descriptor, length)
        self._hit("after_shrink")

    def unlink(self, path: Path) -> None:
        self._hit("before_unlink")
        super().unlink(path)
        self._hit("after_unlink")

    def rmdir(self, path: Path) -> None:
        self._hit("before_rmdir")
        super().rmdir(path)
        self._hit("after_rmdir")


def files_for(hit: Hit) -> Files:
    """Plain files when failpoints are off, so that they cost nothing."""
    return Files() if hit is off else FailpointFiles(hit)

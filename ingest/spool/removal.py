"""Takes spool files away without holding up the disk: first their names, then their room.

A file system frees the blocks of a removed file in one piece, and each fdatasync meanwhile waits:
50 ms for 64 MiB on ext4 with `discard`, once a second under load. So a file is held open while its
name goes, and is then cut off from its end, a step at a time between two commits
(`profiling/notes/removal.md`). A crash on the way frees what is left of it.
"""

from collections import deque
from pathlib import Path

from ingest.spool.files import Files

STEP_BYTES = 1 << 20  # 0.8 ms
_HELD_FILES_MAX = 16  # more than that are freed whole: descriptors are few, too


class Removal:
    """Files on their way out. Used by the one thread that owns their directory."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._nameless: deque[int] = deque()  # descriptors
        self._left: dict[int, int] = {}  # bytes, by descriptor

    @property
    def bytes(self) -> int:
        """What the files that have lost their names still take."""
        return sum(self._left.values())

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be given back."""
        return not self._nameless

    def unlink(self, path: Path) -> None:
        """Takes the name away; sync the directory before the first `shrink`. Raises OSError.

        A file with a second name, in quarantine, keeps its content.
        """
        descriptor = self._try_open(path)
        try:
            self._files.unlink(path)
        except OSError:
            self._close(descriptor)
            raise
        if descriptor is None or self._files.has_name(descriptor):
            self._close(descriptor)
            return
        self._left[descriptor] = self._files.size(descriptor)
        self._nameless.append(descriptor)
        if len(self._nameless) > _HELD_FILES_MAX:
            self._close(self._nameless.popleft())

    def shrink(self, size: int) -> None:
        """Gives up to `size` bytes back; what can't be cut off is given back by closing it."""
        while size > 0 and self._nameless:
            descriptor = self._nameless[0]
            step = min(size, self._left[descriptor])
            size -= step
            self._left[descriptor] -= step
            if not self._try_cut(descriptor, self._left[descriptor]):
                self._close(self._nameless.popleft())

    def close(self) -> None:
        """Gives everything back at once."""
        while self._nameless:
            self._close(self._nameless.popleft())

    def _try_open(self, path: Path) -> int | None:
        """None where there is no descriptor left to hold it with, or no file."""
        try:
            return self._files.open_for_writing(path)
        except OSError:
            return None

    def _try_cut(self, descriptor: int, length: int) -> bool:
        """Whether something is left to be cut off."""
        try:
            self._files.shrink(descriptor, length)
        except OSError:
            return False
        return length > 0

    def _close(self, descriptor: int | None) -> None:
        if descriptor is not None:
            self._left.pop(descriptor, None)
            self._files.close(descriptor)

"""The spool files of one owned directory, and their end: cursor durable past a file, then unlink,
then sync of the directory, then its room a step at a time. Depths are computed from what is there,
never stored.
"""

from pathlib import Path

from ingest.spool.cursor import Cursor
from ingest.spool.directory import CURSOR, Directory
from ingest.spool.files import Files
from ingest.spool.format import FILE_HEADER_BYTES, Position, find_file_name
from ingest.spool.removal import STEP_BYTES, Removal


class Reclaimer:
    """Knows each spool file's name and size; moves the cursor and removes what lies below it."""

    def __init__(self, files: Files, directory: Directory) -> None:
        self._files = files
        self._directory = directory
        self._names: dict[int, str] = {}
        self._sizes: dict[int, int] = {}
        self._removal = Removal(files)
        self.cursor = Cursor(files, directory.path / CURSOR)

    @property
    def disk_bytes(self) -> int:
        """What the spool files hold, settled or not, and what is being given back."""
        return sum(list(self._sizes.values())) + self._removal.bytes

    @property
    def is_freeing(self) -> bool:
        """Whether `free` has something to do."""
        return not self._removal.is_over

    def keep(self, number: int, name: str, size: int) -> None:
        """Notes a file, or a file's new size."""
        self._names[number] = name
        self._sizes[number] = size

    def path(self, number: int) -> Path:
        return self._directory.path / self._names[number]

    def size(self, number: int) -> int:
        """The bytes of a file that are proven to be on disk."""
        return self._sizes[number]

    def salt(self, number: int) -> int:
        """What a file's name says."""
        found = find_file_name(self._names[number])
        assert found is not None
        return found[1]

    def at_or_behind(self, position: Position) -> Position:
        """Where the next record lies: behind a file's end, at the start of the next, if any."""
        if position.offset < self._sizes[position.file]:
            return position
        later = [number for number in list(self._names) if number > position.file]
        return Position(min(later), FILE_HEADER_BYTES, 0) if later else position

    def advance(self, position: Position) -> None:
        """Makes the low-water mark durable, then removes the files below. Raises OSError.

        Their room is given back by `free`.
        """
        if position != self.cursor.position:
            self.cursor.write(position)
        done = [number for number in self._names if number < position.file]
        for number in done:
            self._unlink(number)
        if done:
            self._sync_names()

    def free(self, written_bytes: int = 0) -> None:
        """A step of giving back the room of removed files: as much as was written meanwhile."""
        self._removal.shrink(max(STEP_BYTES, written_bytes))

    def close(self) -> None:
        self._removal.close()
        self.cursor.close()

    def _sync_names(self) -> None:
        try:
            self._directory.sync()
        except OSError:
            self._removal.close()  # a name that came back must not find half of its file
            raise

    def _unlink(self, number: int) -> None:
        try:
            self._removal.unlink(self._directory.path / self._names[number])
        except FileNotFoundError:
            pass
        del self._names[number], self._sizes[number]

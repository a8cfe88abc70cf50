"""The spool files of one owned directory, and their end: cursor durable past a file, then unlink,
then sync of the directory, then its room a step at a time. Depths are computed from what is there,
never stored.
"""

from collections.abc import Callable
from pathlib import Path

from ingest.spool.cursor import Cursor
from ingest.spool.directory import CURSOR, Directory
from ingest.spool.errors import RecordDamaged
from ingest.spool.files import Files
from ingest.spool.format import (
    RECORD_HEADER_BYTES,
    Position,
    is_record_intact,
)
from ingest.spool.record import Record
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
        """Raises RecordDamaged if the file was removed, that is: wholly settled."""
        name = self._names.get(number)
        if name is None:
            raise RecordDamaged(f"spool file {number} is not there any more")
        return self._directory.path / name

    def read(self, record: Record) -> bytes:
        """The record's payload, proven by its checksum. Raises RecordDamaged, OSError."""
        descriptor = self._files.open_for_reading(self.path(record.file))
        try:
            header = self._files.pread(descriptor, RECORD_HEADER_BYTES, record.offset)
            start = record.offset + RECORD_HEADER_BYTES
            payload = read_fully(self._files.pread, descriptor, record.length, start)
        finally:
            self._files.close(descriptor)
        if len(payload) != record.length or not is_record_intact(header, payload):
            raise RecordDamaged(f"record {record.first_sequence} at {self.path(record.file)}")
        return payload

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


def read_fully(
    pread: Callable[[int, int, int], bytes], descriptor: int, length: int, offset: int
) -> bytes:
    """`length` bytes from `offset`, or fewer where the file ends."""
    content = pread(descriptor, length, offset)
    while 0 < len(content) < length:
        more = pread(descriptor, length - len(content), offset + len(content))
        if not more:
            break
        content += more
    return content

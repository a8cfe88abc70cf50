"""How far everything is settled, on disk: two slots written in turn, in a file of fixed size.

No rename, no empty file, no room needed on a full disk. A torn write spoils one slot and leaves
the other, which is older: a stale cursor only repeats documents, and their `_id`s hide that.
"""

from pathlib import Path

from ingest.spool.files import Files
from ingest.spool.format import FILE_HEADER_BYTES, SLOT_BYTES, Position, encode_slot, try_slot

SLOT_STRIDE_BYTES = 4096  # a slot a block: a torn block can not spoil both
CURSOR_BYTES = 2 * SLOT_STRIDE_BYTES
START = Position(0, FILE_HEADER_BYTES, 0)


class Cursor:
    """The low-water mark of one directory; `position` is what is proven to be on disk."""

    def __init__(self, files: Files, path: Path) -> None:
        self._files = files
        self._path = path
        self._descriptor: int | None = None
        self._generation, self.position = read_cursor(files, path)

    def prepare(self) -> None:
        """Gives the file its full size, so that no later write needs room. Raises OSError."""
        descriptor = self._open()
        if self._files.size(descriptor) < CURSOR_BYTES:
            self._write(descriptor, bytes(CURSOR_BYTES), 0)

    def write(self, position: Position) -> None:
        """Makes the position durable. On an OSError the old one still counts."""
        generation = self._generation + 1
        slot_offset = generation % 2 * SLOT_STRIDE_BYTES
        self._write(self._open(), encode_slot(generation, position), slot_offset)
        self._generation, self.position = generation, position

    def close(self) -> None:
        if self._descriptor is not None:
            self._files.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        if self._descriptor is None:
            self._descriptor = self._files.open_or_create(self._path)
        return self._descriptor

    def _write(self, descriptor: int, content: bytes, offset: int) -> None:
        try:
            written = self._files.pwrite(descriptor, content, offset)
            if written != len(content):
                raise OSError(f"cursor: {written} of {len(content)} bytes written")
            self._files.fdatasync(descriptor)
        except OSError:
            self.close()  # after a failed fsync a descriptor proves nothing any more
            raise


def read_cursor(files: Files, path: Path) -> tuple[int, Position]:
    """Generation and position of the newest good slot; (0, START) when there is none."""
    try:
        descriptor = files.open_for_reading(path)
    except OSError:
        return 0, START
    try:
        slots = [try_slot(files.pread(descriptor, SLOT_BYTES, at)) for at in (0, SLOT_STRIDE_BYTES)]
    except OSError:
        return 0, START
    finally:
        files.close(descriptor)
    return max((slot for slot in slots if slot), default=(0, START))

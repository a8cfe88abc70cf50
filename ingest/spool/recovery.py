"""Reads a spool file that nobody vouches for: streams its good records, names its damaged ranges.

    [record][record][damaged ...][record][torn tail ...]

A record that does not validate starts a damaged range. The range ends at the next place where
magic, salt and checksum all hold; nothing behind it is given up. Nothing here writes.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ingest.spool.files import Files
from ingest.spool.format import (
    FILE_HEADER_BYTES,
    RECORD_HEADER_BYTES,
    RecordHeader,
    is_record_intact,
    record_needle,
    try_record_header,
)

SEARCH_BLOCK_BYTES = 1024 * 1024


@dataclass(slots=True, frozen=True)
class FoundRecord:
    """An intact record; `end` is the offset behind it."""

    offset: int
    end: int
    first_sequence: int
    count: int
    payload: bytes


@dataclass(slots=True, frozen=True)
class DamagedRange:
    """Bytes that are no record. A tail has no good record behind it: most likely torn."""

    offset: int
    length: int
    is_tail: bool

    @property
    def end(self) -> int:
        return self.offset + self.length


class Scan:
    """One pass over an open spool file, as far as `end`. The salt comes from its name."""

    def __init__(self, files: Files, descriptor: int, salt: int, end: int | None = None) -> None:
        self._files = files
        self._descriptor = descriptor
        self._salt = salt
        self._needle = record_needle(salt)
        self._size = files.size(descriptor) if end is None else end

    def items(self, start: int = FILE_HEADER_BYTES) -> Iterator[FoundRecord | DamagedRange]:
        """Everything from `start` to the end of the file, without a gap."""
        offset = start
        while offset < self._size:
            if record := self._try_record(offset):
                yield record
                offset = record.end
                continue
            good = self._find_record(offset + 1)
            yield DamagedRange(offset, good - offset, is_tail=good == self._size)
            offset = good

    def documents_told(self, damage: DamagedRange, next_sequence: int | None) -> int:
        """How many documents a damaged range held, as its own record headers tell: as far as they
        follow each other and their records are whole in size. What was torn when its writer died
        is not, and was never acked. No checksum vouches for this number.
        """
        told, offset = 0, damage.offset
        while header := self._try_header(offset, damage.end - offset):
            is_next = next_sequence in (None, header.first_sequence)
            if not is_next or not 1 <= header.count <= header.length:
                break
            told += header.count
            next_sequence = header.first_sequence + header.count
            offset += RECORD_HEADER_BYTES + header.length
        return told

    def read_record(self, offset: int) -> FoundRecord | None:
        """None unless an intact record begins there. Raises OSError, also for a bad sector."""
        header_bytes = self.read(offset, RECORD_HEADER_BYTES)
        header = try_record_header(header_bytes, self._salt, self._size - offset)
        if header is None:
            return None
        payload = self.read(offset + RECORD_HEADER_BYTES, header.length)
        if len(payload) != header.length or not is_record_intact(header_bytes, payload):
            return None
        return _found(offset, header, payload)

    def read(self, offset: int, length: int) -> bytes:
        """Fewer bytes only at the file's end. Raises OSError, also for a bad sector."""
        return read_fully(self._files.pread, self._descriptor, length, offset)

    def _try_record(self, offset: int) -> FoundRecord | None:
        with _bad_sectors_are_damage():
            return self.read_record(offset)
        return None

    def _try_header(self, offset: int, room_bytes: int) -> RecordHeader | None:
        content = read_if_readable(self._files, self._descriptor, RECORD_HEADER_BYTES, offset)
        return try_record_header(content, self._salt, room_bytes)

    def _find_record(self, start: int) -> int:
        """The offset of the next good record, or the end of the file."""
        overlap = len(self._needle) - 1
        while start < self._size:
            block = read_if_readable(
                self._files, self._descriptor, SEARCH_BLOCK_BYTES + overlap, start
            )
            at = block.find(self._needle)
            while at >= 0:
                if self._try_record(start + at):
                    return start + at
                at = block.find(self._needle, at + 1)
            start += SEARCH_BLOCK_BYTES
        return self._size


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


def read_if_readable(files: Files, descriptor: int, length: int, offset: int) -> bytes:
    """Like `read_fully`, but nothing for a bad sector."""
    with _bad_sectors_are_damage():
        return read_fully(files.pread, descriptor, length, offset)
    return b""


@contextmanager
def _bad_sectors_are_damage() -> Iterator[None]:
    """Goes on behind the block, as where bytes are rotten. Other errors are raised."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise


def _found(offset: int, header: RecordHeader, payload: bytes) -> FoundRecord:
    end = offset + RECORD_HEADER_BYTES + header.length
    return FoundRecord(offset, end, header.first_sequence, header.count, payload)

"""The spool file that records are appended to. Only the committer's thread uses it."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from ingest.spool.files import Buffer, Files
from ingest.spool.format import FILE_HEADER_BYTES, FileHeader, encode_file_header, name_file
from ingest.spool.record import Record

BUFFERS_A_CALL_MAX = 1024  # IOV_MAX


class SpoolFile:
    """`proven_bytes` are on disk for certain; what was written after them is not yet."""

    def __init__(self, files: Files, descriptor: int, header: FileHeader, limit_bytes: int) -> None:
        self._files = files
        self._descriptor = descriptor
        self._limit_bytes = limit_bytes
        self._end_bytes = FILE_HEADER_BYTES
        self.number = header.number
        self.salt = header.salt
        self.name = name_file(header.number, header.salt)
        self.proven_bytes = FILE_HEADER_BYTES

    @property
    def is_empty(self) -> bool:
        return self.proven_bytes == FILE_HEADER_BYTES

    def fits(self, written_bytes: int, size: int) -> bool:
        """Whether a record of `size` may follow `written_bytes` more; the first always may."""
        end = self.proven_bytes + written_bytes
        return end + size <= self._limit_bytes or end == FILE_HEADER_BYTES

    def append(self, records: Iterable[Record], buffers: Sequence[Buffer]) -> None:
        """Writes all the buffers and notes where each record begins. Raises OSError."""
        start = self._end_bytes
        for record in records:
            record.offset = self._end_bytes
            self._end_bytes += record.size
        write_all(self._files, self._descriptor, buffers, start)

    def sync(self) -> None:
        """Proves all that was written. After an OSError: `seal`, this descriptor is spent."""
        self._files.fdatasync(self._descriptor)
        self.proven_bytes = self._end_bytes

    def undo(self) -> None:
        """Takes back what is not proven, for example half a record. Raises OSError."""
        self._files.ftruncate(self._descriptor, self.proven_bytes)
        self._end_bytes = self.proven_bytes

    def seal(self) -> None:
        """Nothing is written to it any more. Recovery copes with a rest that can't be cut off."""
        with suppress(OSError):
            if self._end_bytes != self.proven_bytes:
                self.undo()
        with suppress(OSError):
            self._files.close(self._descriptor)


def create_spool_file(
    files: Files, directory: Path, header: FileHeader, limit_bytes: int
) -> SpoolFile:
    """A new file with a durable header; the caller syncs the directory. Raises OSError."""
    path = directory / name_file(header.number, header.salt)
    descriptor = files.open_new(path)
    try:
        write_all(files, descriptor, [encode_file_header(header)], 0)
        files.fdatasync(descriptor)
    except OSError:
        files.close(descriptor)
        files.unlink(path)
        raise
    return SpoolFile(files, descriptor, header, limit_bytes)


def make_header(
    number: int, directory: UUID, base_sequence: int, created_s: float, salt: bytes
) -> FileHeader:
    """`created_s` is wall-clock time, `salt` eight random bytes."""
    return FileHeader(
        number, directory, base_sequence, int(created_s * 1000), int.from_bytes(salt, "little")
    )


def write_all(files: Files, descriptor: int, buffers: Sequence[Buffer], offset: int) -> None:
    """Writes every byte, however short the kernel's counts are. Raises OSError.

    A full disk shows as a short count first and as ENOSPC on the next call.
    """
    first = 0
    while first < len(buffers):
        window = buffers[first : first + BUFFERS_A_CALL_MAX]
        written = files.pwritev(descriptor, window, offset)
        if written <= 0:
            raise OSError(f"spool file: write returned {written}")
        offset += written
        whole, rest = _split_written(window, written)
        first += whole
        if rest:
            rest_of_buffer = memoryview(buffers[first])[rest:]
            buffers = [rest_of_buffer, *buffers[first + 1 :]]
            first = 0


def _split_written(window: Sequence[Buffer], written: int) -> tuple[int, int]:
    """How many buffers were written whole, and how many bytes of the next one."""
    for index, buffer in enumerate(window):
        if written < len(buffer):
            return index, written
        written -= len(buffer)
    return len(window), 0

"""What is committed together: the records that share a write and an fdatasync."""

from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from ingest.spool.file import SpoolFile
from ingest.spool.files import Buffer
from ingest.spool.format import encode_record_header
from ingest.spool.record import Record

T = TypeVar("T")


class Entry(NamedTuple, Generic[T]):
    """A record that waits for its fsync; `pieces` are freed with it."""

    record: Record
    pieces: Sequence[Buffer]
    token: T


def write_group(file: SpoolFile, group: list[Entry[T]]) -> None:
    """Writes all of it, without a sync. Raises OSError."""
    buffers: list[Buffer] = []
    for record, pieces, _ in group:
        buffers.append(
            encode_record_header(
                file.salt, record.count, record.first_sequence, record.length, pieces
            )
        )
        buffers.extend(pieces)
    file.append([entry.record for entry in group], buffers)


def fitting(file: SpoolFile, waiting: list[Entry[T]]) -> list[Entry[T]]:
    """As many of those that wait as go into the file; the first always does."""
    total = waiting[0].record.size
    count = 1
    while count < len(waiting) and file.fits(total, waiting[count].record.size):
        total += waiting[count].record.size
        count += 1
    return waiting[:count]


def size_of(group: list[Entry[T]]) -> int:
    """Bytes on disk."""
    return sum(entry.record.size for entry in group)

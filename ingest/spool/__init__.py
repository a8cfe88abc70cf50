"""Spool: the durable queue on disk. What a `durable` ack promises is kept here.

Rules
-----
Append-only and sequential. A written record is never changed; what is done lives in the cursor.
One process owns a directory, named by a fresh UUID and locked for life, and appends to no other:
two writers can't meet in a file, however many configurations overlap. What a dead process left is
adopted by whoever gets its lock, drained and removed. Nothing is a reason not to start: missing,
empty, cut, damaged and foreign files are passed over, and counted.

    <data_dir>/spool/
      7d3f…-uuid/                            0700, everything in it 0600
        LOCK                                 flock of the owner; unlinked last
        cursor                               two slots, 4096 bytes apart, written in turn
        0000000001-<salt>.spool              about 64 MiB each, in the order written
        0000000002-<salt>.spool
      quarantine/                            damaged ranges, kept for a person

Format, version 1 (little-endian; sizes in bytes)
-------------------------------------------------
    spool file = header, record, record, …            never a record across two files
    header (64)  magic "INGSPOOL" 8 | version 2 | flags 2 | file number 4 | directory UUID 16 |
                 base sequence 8 | created ms 8 | salt 8 | reserved 4 | CRC32 4
    record       magic f5 "rec" 4 | salt 8 | version 1 | flags 1 | reserved 2 | payload length 4 |
                 document count 4 | first sequence 8 | CRC32 4 | payload: the chunk's bulk NDJSON
    slot (44)    magic f5 "cur" 4 | version 2 | reserved 2 | generation 8 | file number 8 |
                 offset 8 | sequence 8 | CRC32 4

A record's CRC covers its header and its payload. The magic holds a byte that no UTF-8 text has;
the salt is random for each file and repeated in its name, so that neither zeros, nor stale blocks,
nor a payload that looks like a record validate, and a damaged file header costs nothing. A length
is checked against the maximum and the rest of the file before anything is allocated. The header of
a file keeps its 64 bytes, version and CRC in all versions to come: readers accept every earlier
version and leave a directory with a later one alone, naming it.

Order on disk
-------------
    new file:  header, fdatasync, fsync of the directory, then records
    append:    write, fdatasync, then the acks; what arrives meanwhile is the next group
    removal:   cursor durable past the file, unlink, fsync of the directory, then its room in steps
    failure:   a failed fsync is never repeated on its descriptor (see `committer`)

A crash may repeat documents (about a second's worth, behind the cursor) and may bring back records
that were written and never acked. It loses none that was acked, and brings none that was not
appended. Documents carry their `_id`, which makes repeats invisible.

Where memory has no room for what is durable, its handles are let go of as well: the backlog is a
few stretches of the files, read back record by record (see `backlog`).

A spool of another make, for example a Kafka topic, takes the place of `DiskSpool` and `Orphan` by
offering `Spool` and `Leftover`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from ingest.spool.disk_spool import DiskSpool
from ingest.spool.errors import (
    NetworkFileSystem,
    RecordDamaged,
    SpoolError,
    SpoolFull,
    SpoolUnavailable,
    UnknownVersion,
)
from ingest.spool.files import Buffer, Files, files_for
from ingest.spool.inspection import DirectoryReport, DumpedRecord, FileReport, check, dump
from ingest.spool.orphan import Orphan, adopt, orphans
from ingest.spool.record import Record
from ingest.spool.recovered import Recovered
from ingest.spool.settings import SpoolLimits, Surroundings

__all__ = [
    "Buffer",
    "DirectoryReport",
    "DiskSpool",
    "DumpedRecord",
    "FileReport",
    "Files",
    "Leftover",
    "NetworkFileSystem",
    "Orphan",
    "Record",
    "RecordDamaged",
    "Recovered",
    "Spool",
    "SpoolError",
    "SpoolFull",
    "SpoolLimits",
    "SpoolUnavailable",
    "Surroundings",
    "UnknownVersion",
    "adopt",
    "check",
    "dump",
    "files_for",
    "orphans",
]

Token = TypeVar("Token", contravariant=True)


class Spool(Protocol[Token]):
    """What the service sees of the queue: chunks go in, may wait there, and are settled.

    `append` returns at once; the token comes back, in a list with others, when the chunk is
    durable or could not be made so. Sequences rise from one append to the next. What memory has no
    room for is deferred, and brought back in the same order.
    """

    def append(
        self, payload: Buffer | Sequence[Buffer], count: int, first_sequence: int, token: Token
    ) -> Record: ...

    def defer(self, record: Record) -> None: ...

    def bring_back(self) -> Recovered | None: ...

    def settle(self, sequences: Sequence[int]) -> None: ...


class Leftover(Protocol):
    """What a dead process left: its records stream out again and are settled here."""

    def records(self) -> Iterator[Recovered]: ...

    def settle(self, sequences: Sequence[int]) -> None: ...

    missing_at_end: int

    @property
    def is_drained(self) -> bool: ...

    def remove(self) -> bool: ...

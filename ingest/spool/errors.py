"""What the spool raises and hands to waiting acks.

SpoolError
├─ SpoolUnavailable     no durable ack can be given now; the producer gets a 503
│  └─ SpoolFull         the disk has no room left (ENOSPC, EDQUOT)
├─ RecordDamaged        a record's bytes do not match its checksum, or are gone
├─ UnknownVersion       a directory written by a newer program: left alone
└─ NetworkFileSystem    `flock` and `fsync` do not hold there what the spool needs
"""

from ingest.errors import IngestError


class SpoolError(IngestError):
    """Root of what can go wrong with the durable queue."""


class SpoolUnavailable(SpoolError):
    """The record is not proven to be on disk."""


class SpoolFull(SpoolUnavailable):
    """The disk refused the bytes for want of room."""


class RecordDamaged(SpoolError):
    """Deferred documents can not be read back as they were written: those of these `sequences`."""

    def __init__(self, message: str, sequences: range) -> None:
        super().__init__(message)
        self.sequences = sequences


class UnknownVersion(SpoolError):
    """A spool file has a format version that this program does not read."""


class NetworkFileSystem(SpoolError):
    """The data directory lies on a file system that the spool refuses."""

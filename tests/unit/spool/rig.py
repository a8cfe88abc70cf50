"""A spool without its thread and with a clock that stands still, for tests to turn by hand."""

import shutil
from pathlib import Path
from uuid import UUID

from ingest.spool import (
    DiskSpool,
    Files,
    Recovered,
    SpoolError,
    SpoolLimits,
    Surroundings,
    adopt,
    dump,
    orphans,
)
from ingest.spool.orphan import Orphan
from ingest.spool.record import Record

DIRECTORY_ID = UUID("0f6a1c9e-6d0b-4c7e-9a53-2f1f64a6c001")
LIMITS = SpoolLimits(quota_bytes=1 << 30, free_bytes_min=0, file_bytes=4096)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float = 1.0) -> None:
        self.now_s += seconds


class Salts:
    """Different salts that are the same in every run."""

    def __init__(self) -> None:
        self._made = 0

    def __call__(self, length: int) -> bytes:
        self._made += 1
        return self._made.to_bytes(length, "big")


class Rig:
    """A `DiskSpool` whose tokens are the first sequences. `groups` lists what came back."""

    def __init__(
        self,
        data_dir: Path,
        files: Files | None = None,
        limits: SpoolLimits = LIMITS,
        directory_id: UUID = DIRECTORY_ID,
    ) -> None:
        self.clock = Clock()
        self.surroundings = Surroundings(
            files=files or Files(),
            clock_s=self.clock,
            wall_clock_s=self.clock,
            random_bytes=Salts(),
        )
        self.data_dir = data_dir
        self.groups: list[tuple[list[int], SpoolError | None]] = []
        self.next_sequence = 0
        self.spool: DiskSpool[int] = DiskSpool(
            data_dir,
            lambda tokens, error: self.groups.append((tokens, error)),
            limits=limits,
            surroundings=self.surroundings,
            directory_id=directory_id,
        )
        self.spool.open()

    @property
    def path(self) -> Path:
        return self.data_dir.resolve() / "spool" / str(self.spool.id)

    @property
    def acked(self) -> list[int]:
        return [token for tokens, error in self.groups if error is None for token in tokens]

    @property
    def failed(self) -> list[int]:
        return [token for tokens, error in self.groups if error for token in tokens]

    def queue(self, count: int = 1, size: int = 100) -> Record:
        first = self.next_sequence
        self.next_sequence += count
        return self.spool.append(payload_of(first, size), count, first, first)

    def append(self, count: int = 1, size: int = 100) -> Record:
        """Queues one record and commits it, as a group of its own."""
        record = self.queue(count, size)
        self.spool.turn()
        return record

    def on_disk(self) -> dict[int, bytes]:
        """The payloads of the readable records, by sequence."""
        return payloads(self.path)

    def settle(self, *records: Record) -> None:
        for record in records:
            self.spool.settle(sequences_of(record))

    def tick(self) -> None:
        """A second passes: cursor, removal of files, measurements."""
        self.clock.advance()
        self.spool.turn()

    def spool_files(self) -> list[str]:
        return [path.name for path in sorted(self.path.glob("*.spool"))]

    def crash_into(self, data_dir: Path) -> Path:
        """What a crash would leave, as a copy; this spool is closed afterwards."""
        shutil.copytree(self.data_dir, data_dir, dirs_exist_ok=True)
        self.spool.close()
        return data_dir.resolve() / "spool" / str(self.spool.id)


def payloads(directory: Path) -> dict[int, bytes]:
    return {record.first_sequence: record.payload for record in dump(directory)}


def payload_of(first_sequence: int, size: int = 100) -> bytes:
    """Bytes that say whose they are."""
    return (f"<{first_sequence}>".encode() * size)[:size]


def sequences_of(record: Record | Recovered) -> range:
    return range(record.first_sequence, record.first_sequence + record.count)


def take_over(path: Path, files: Files | None = None) -> Orphan:
    orphan = adopt(path, Surroundings(files=files or Files()))
    assert orphan is not None
    return orphan


def drain(data_dir: Path, files: Files | None = None) -> dict[int, bytes]:
    """Adopts every directory, settles what is in it and removes it: payloads by sequence."""
    delivered: dict[int, bytes] = {}
    for path in orphans(data_dir):
        orphan = take_over(path, files)
        for recovered in orphan.records():
            assert recovered.first_sequence not in delivered
            delivered[recovered.first_sequence] = recovered.payload
            orphan.settle(sequences_of(recovered))
        assert orphan.is_drained
        orphan.remove()
    return delivered


class UnsyncedFiles(Files):
    """Files for tests that judge what is read, many times over: nothing waits for the disk."""

    def fdatasync(self, descriptor: int) -> None:
        return

    def fsync_directory(self, descriptor: int) -> None:
        return

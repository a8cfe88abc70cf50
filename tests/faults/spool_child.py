"""A small service with a spool, to be killed: `python -m tests.faults.spool_child write DIR`.

Its journal says what a producer and Elasticsearch would have seen, one line each, written with
one call, so that a kill -9 loses none:

    acked      DIRECTORY FIRST CRC      the ack has left
    failed     DIRECTORY FIRST CRC      the producer got a 503
    refused    DIRECTORY FIRST CRC      it got one before its body was read
    delivered  DIRECTORY FIRST CRC      Elasticsearch has it
"""

import os
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from ingest.failpoints import make_failpoint
from ingest.spool import (
    DiskSpool,
    SpoolError,
    SpoolFull,
    SpoolLimits,
    SpoolUnavailable,
    Surroundings,
    adopt,
    files_for,
    orphans,
)

COUNT = 3  # documents a record
RECORDS = 40
GROUP = 4
LIMITS = SpoolLimits(
    quota_bytes=1 << 30, free_bytes_min=0, file_bytes=2048, cursor_interval_s=0.002
)


class Journal:
    """Appends lines to a file that outlives this process."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, what: str, directory: str, first: int, payload: bytes) -> None:
        line = f"{what} {directory} {first} {zlib.crc32(payload)}\n"
        os.write(self._descriptor, line.encode())


def payload_of(directory: str, first: int) -> bytes:
    """About 300 bytes that say whose they are."""
    return f"{directory}/{first};".encode() * (5 + first % 7)


def write(data_dir: Path) -> None:
    """Drains what others left, then appends, delivers most of it, and ends."""
    journal = Journal(data_dir / "journal")
    hit = make_failpoint(os.environ.get("INGEST_FAILPOINT"))
    surroundings = Surroundings(files=files_for(hit), hit=hit)
    for path in orphans(data_dir, surroundings):
        _drain(path, journal, surroundings)
    _append_all(data_dir, journal, surroundings)


def _drain(path: Path, journal: Journal, surroundings: Surroundings) -> None:
    orphan = adopt(path, surroundings)
    if orphan is None:
        return
    for recovered in orphan.records():
        first = recovered.first_sequence
        journal.note("delivered", path.name, first, recovered.payload)
        orphan.settle(range(first, first + recovered.count))
        orphan.advance()
    orphan.remove()


def _append_all(data_dir: Path, journal: Journal, surroundings: Surroundings) -> None:
    answered = threading.Semaphore(0)

    def on_committed(tokens: list[int], error: SpoolError | None) -> None:
        for first in tokens:
            journal.note("failed" if error else "acked", str(spool.id), first, b"")
            answered.release()

    spool = DiskSpool(data_dir, on_committed, limits=LIMITS, surroundings=surroundings)
    spool.start()
    held_back: list[int] = []
    for group in range(RECORDS // GROUP):
        firsts = [(group * GROUP + number) * COUNT for number in range(GROUP)]
        for first in firsts:
            while not spool.is_healthy:
                journal.note("refused", str(spool.id), first, b"")
                threading.Event().wait(0.01)
            spool.append(payload_of(str(spool.id), first), COUNT, first, first)
        for _ in firsts:
            answered.acquire()
        for first in firsts[1:] + held_back:
            journal.note("delivered", str(spool.id), first, payload_of(str(spool.id), first))
            spool.settle(range(first, first + COUNT))
        held_back = firsts[:1]
        threading.Event().wait(0.01)  # longer than the cursor's interval
    spool.close()


def fill(data_dir: Path) -> None:
    """Fills a small disk, drains it with no byte free, and goes on."""
    errors: list[SpoolError | None] = []
    spool: DiskSpool[int] = DiskSpool(
        data_dir,
        lambda tokens, error: errors.extend([error] * len(tokens)),
        limits=SpoolLimits(quota_bytes=1 << 30, free_bytes_min=0, file_bytes=128 * 1024),
        directory_id=UUID(int=1),
    )
    spool.open()
    appended = 0
    while None in errors[-1:] or not errors:
        first = len(errors)
        record = spool.append(os.urandom(50_000), 1, first, first)
        appended += 1
        spool.turn()
        if errors[-1] is None:
            spool.defer(record)
    assert isinstance(errors[-1], SpoolFull), errors
    assert appended > 10
    assert not spool.reserve(1)
    stuffing = _stuff(data_dir / "stuffing")
    for _ in range(appended - 1):
        recovered = spool.bring_back()
        assert recovered is not None
        assert len(recovered.payload) == 50_000
    assert not spool.has_deferred
    spool.settle(range(appended))
    for _ in range(3):
        threading.Event().wait(1.05)
        spool.turn()
    assert spool.reserve(50_000), "drained, and yet no room"
    stuffing.unlink()
    spool.append(bytes(50_000), 1, appended, appended)
    spool.turn()
    assert errors[-1] is None, errors[-1]
    spool.settle([appended])
    spool.close()
    assert list((data_dir / "spool").iterdir()) == []


def _stuff(path: Path) -> Path:
    """Takes the last free byte."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, bytes(512)):
            pass
    except OSError:
        os.close(descriptor)
    return path


def starve(data_dir: Path) -> None:
    """Without a descriptor left a running spool goes on, and a starting one waits for one."""
    errors: list[SpoolError | None] = []

    def on_committed(tokens: list[int], error: SpoolError | None) -> None:
        errors.extend([error] * len(tokens))

    limits = SpoolLimits(free_bytes_min=0, file_bytes=4096, cursor_interval_s=0.0)
    running: DiskSpool[int] = DiskSpool(data_dir, on_committed, limits=limits)
    running.open()
    taken = _take_descriptors()
    starting: DiskSpool[int] = DiskSpool(data_dir, on_committed, limits=limits)
    starting.open()
    assert running.is_healthy
    assert not starting.is_healthy
    assert "Too many open files" in starting.last_error
    for sequence in range(10):
        record = running.append(bytes(4000), 1, sequence, sequence)  # a file each
        running.turn()
        running.settle([sequence - 1])
    assert errors == [None] * 10
    running.defer(record)
    assert "Too many open files" in _refusal(running.bring_back)
    for descriptor in taken:
        os.close(descriptor)
    recovered = running.bring_back()
    assert recovered is not None
    assert recovered.payload == bytes(4000)
    starting.turn()
    assert starting.is_healthy
    running.settle([9])
    running.close()
    starting.close()
    assert list((data_dir / "spool").iterdir()) == []


def refuse(data_dir: Path) -> None:
    """A disk that may only be read: no ack, a clear reason, no end of the process."""
    spool: DiskSpool[int] = DiskSpool(data_dir, lambda tokens, error: None)
    spool.start()
    assert "Read-only file system" in _refusal(lambda: spool.append(b"x", 1, 0, 0))
    assert spool.close(30)


def _refusal(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (OSError, SpoolUnavailable) as error:
        return str(error)
    return "not refused"


def _take_descriptors() -> list[int]:
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        return taken


if __name__ == "__main__":
    lives = {"write": write, "fill": fill, "starve": starve, "refuse": refuse}
    lives[sys.argv[1]](Path(sys.argv[2]))

"""Deferred records take no memory, and come back in their order, whatever lies between them."""

import errno
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.spool import RecordDamaged
from ingest.spool.format import RECORD_HEADER_BYTES, Position
from ingest.spool.quarantine import Quarantine
from ingest.spool.record import Record
from ingest.spool.stretch import Stretch
from ingest.spool.unsettled import Unsettled
from tests.unit.spool.rig import Rig, drain, payload_of, sequences_of
from tests.unit.spool.scripted_files import QuickFiles, ScriptedFiles

SIZE = 1500  # two records a file


@pytest.fixture
def files() -> ScriptedFiles:
    return QuickFiles()


@pytest.fixture
def rig(tmp_path: Path, files: ScriptedFiles) -> Rig:
    return Rig(tmp_path / "data", files)


def deferred(rig: Rig, count: int, size: int = SIZE) -> list[Record]:
    records = [rig.append(size=size) for _ in range(count)]
    for record in records:
        rig.spool.defer(record)
    return records


def brought_back(rig: Rig, found: dict[int, bytes] | None = None) -> dict[int, bytes]:
    """All that is there, by sequence, in the order in which it came; settled at once."""
    found = {} if found is None else found
    while recovered := rig.spool.bring_back():
        found[recovered.first_sequence] = recovered.payload
        rig.spool.settle(sequences_of(recovered))
    return found


def test_nothing_is_brought_back_where_nothing_was_deferred(rig: Rig) -> None:
    rig.append()
    assert not rig.spool.has_deferred
    assert rig.spool.bring_back() is None


def test_deferred_records_come_back_in_their_order_over_files(rig: Rig) -> None:
    deferred(rig, 7)
    assert rig.spool.has_deferred
    assert list(brought_back(rig).items()) == [(n, payload_of(n, SIZE)) for n in range(7)]
    assert not rig.spool.has_deferred
    assert (rig.spool.documents, rig.spool.unsettled_bytes) == (0, 0)


def test_more_may_be_deferred_while_others_come_back(rig: Rig) -> None:
    deferred(rig, 1)
    for n in range(9):
        deferred(rig, 1)
        recovered = rig.spool.bring_back()
        assert recovered is not None
        assert (recovered.first_sequence, recovered.payload) == (n, payload_of(n, SIZE))
    assert list(brought_back(rig)) == [9]


def test_records_that_went_on_at_once_are_not_brought_back(rig: Rig) -> None:
    deferred(rig, 3)
    live = [rig.append(size=SIZE) for _ in range(3)]
    deferred(rig, 3)
    assert list(brought_back(rig)) == [0, 1, 2, 6, 7, 8]
    assert rig.spool.documents == 3
    rig.settle(*live)
    assert rig.spool.documents == 0


def test_files_stay_until_what_was_brought_back_is_settled(rig: Rig) -> None:
    deferred(rig, 4)
    first = rig.spool.bring_back()
    second = rig.spool.bring_back()
    assert first
    assert second
    rig.tick()
    assert len(rig.spool_files()) == 2
    rig.spool.settle(sequences_of(second))
    rig.tick()
    assert len(rig.spool_files()) == 2
    rig.spool.settle(sequences_of(first))
    assert list(brought_back(rig)) == [2, 3]
    rig.tick()
    assert len(rig.spool_files()) == 1


def test_a_crash_loses_nothing_of_it(rig: Rig, tmp_path: Path) -> None:
    deferred(rig, 5)
    for _ in range(3):
        assert rig.spool.bring_back()
    rig.spool.settle([0, 2])
    rig.tick()
    rig.crash_into(tmp_path / "crashed")
    assert drain(tmp_path / "crashed") == {n: payload_of(n, SIZE) for n in range(1, 5)}


def test_a_record_that_a_failed_sync_made_go_on_splits_the_backlog(
    rig: Rig, files: ScriptedFiles
) -> None:
    deferred(rig, 2)
    files.fail("fdatasync", errno.EIO)
    doubtful = rig.append(size=SIZE)  # is written again, and delivered without an ack
    assert rig.failed == [2]
    deferred(rig, 2)
    assert list(brought_back(rig)) == [0, 1, 3, 4]
    rig.settle(doubtful)
    assert rig.spool.documents == 0


def test_a_disk_that_can_not_be_read_now_is_asked_again(rig: Rig, files: ScriptedFiles) -> None:
    deferred(rig, 2)
    files.fail("pread", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        rig.spool.bring_back()
    assert list(brought_back(rig)) == [0, 1]


def overwrite(rig: Rig, record: Record, change: Callable[[bytes], bytes]) -> None:
    """Changes a record's bytes on disk."""
    path = next(rig.path.glob(f"{record.file:010d}-*.spool"))
    content = path.read_bytes()
    start, end = record.offset, record.offset + record.size
    path.write_bytes(content[:start] + change(content[start:end]) + content[end:])


ROT = {
    "magic": lambda content: b"x" + content[1:],
    "length": lambda content: content[:16] + b"\xff\xff\xff\x7f" + content[20:],
    "shorter": lambda content: content[:16] + b"\x07\0\0\0" + content[20:],
    "sequence": lambda content: content[:24] + b"\x63" + content[25:],
    "payload": lambda content: content[:-1] + b"!",
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("rot", ROT.values(), ids=ROT.keys())
@pytest.mark.parametrize(
    "bad", [[0], [1], [2], [6], [1, 2], [0, 1, 2, 3], [5, 6], [0, 2, 4, 6], list(range(7))]
)
def test_damage_costs_the_damaged_records_only(
    rig: Rig, bad: list[int], rot: Callable[[bytes], bytes]
) -> None:
    records = deferred(rig, 7)
    live = rig.append(size=SIZE)
    for n in bad:
        overwrite(rig, records[n], rot)
    lost: list[int] = []
    found: dict[int, bytes] = {}
    while rig.spool.has_deferred:
        try:
            brought_back(rig, found)
        except RecordDamaged as error:
            lost += error.sequences
            rig.spool.settle(error.sequences)
    assert lost == bad
    assert found == {n: payload_of(n, SIZE) for n in range(7) if n not in bad}
    assert (rig.spool.documents, rig.spool.unsettled_bytes) == (1, live.size)
    kept = sum(path.stat().st_size for path in (rig.path.parent / "quarantine").iterdir())
    assert kept == len(bad) * (RECORD_HEADER_BYTES + SIZE)


@pytest.mark.parametrize("size", [100, SIZE], ids=["same-file", "next-file"])
def test_what_is_deferred_while_damage_is_passed_over_is_not_lost(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    records = deferred(rig, 2)
    overwrite(rig, records[1], ROT["zeros"])
    assert rig.spool.bring_back()
    keep = Quarantine.keep

    def keep_and_append(*arguments: Any) -> bool:
        deferred(rig, 1, size)
        return keep(*arguments)

    monkeypatch.setattr(Quarantine, "keep", keep_and_append)
    with pytest.raises(RecordDamaged) as caught:
        rig.spool.bring_back()
    assert caught.value.sequences == range(1, 2)
    assert brought_back(rig) == {2: payload_of(2, size)}


def test_what_is_missing_is_kept_on_disk_until_it_is_settled(rig: Rig) -> None:
    records = deferred(rig, 4)
    overwrite(rig, records[0], ROT["zeros"])
    with pytest.raises(RecordDamaged) as caught:
        rig.spool.bring_back()
    assert caught.value.sequences == range(1)
    assert list(brought_back(rig)) == [1, 2, 3]
    rig.tick()
    assert len(rig.spool_files()) == 2
    rig.spool.settle(caught.value.sequences)
    rig.tick()
    assert len(rig.spool_files()) == 1


def test_its_age_is_that_of_its_oldest_file(rig: Rig) -> None:
    for _ in range(6):
        deferred(rig, 1)
        rig.clock.advance(10)
    assert rig.spool.oldest_age_s == 60
    ages = []
    while recovered := rig.spool.bring_back():
        rig.spool.settle(sequences_of(recovered))
        ages.append(rig.spool.oldest_age_s)
    assert ages == [60, 60, 40, 40, 20, 0]


def test_any_number_of_records_is_one_handle() -> None:
    unsettled = Unsettled()
    for n in range(10_000):
        record = stored(unsettled, n)
        unsettled.defer(record)
    del record
    assert count_of(Record) == 0
    assert unsettled.documents == 10_000
    first = unsettled.bring_back(1, 46, Position(1, 146, 0))
    assert (first.first_sequence, first.count, first.file, first.offset) == (0, 1, 1, 100)
    assert unsettled.low_water(9, 900) == Position(1, 100, 0)
    unsettled.settle([0])
    assert unsettled.low_water(9, 900) == Position(1, 146, 1)


def test_what_is_done_behind_a_backlog_is_let_go_of() -> None:
    unsettled = Unsettled()
    unsettled.defer(stored(unsettled, 0))
    for n in range(1, 20_000):
        stored(unsettled, n)
        unsettled.settle([n])
    assert count_of(Record) <= 4096
    assert unsettled.documents == 1
    assert unsettled.oldest_stretch is not None
    assert count_of(Stretch) == 1


def stored(unsettled: Unsettled, sequence: int) -> Record:
    record = Record(sequence, 1, length=10, appended_s=0.0)
    unsettled.add(record)
    record.file, record.offset = 1, 100 + 46 * sequence
    return record


def count_of(kind: type) -> int:
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())

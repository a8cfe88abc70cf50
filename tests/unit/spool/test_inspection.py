"""`check` and `dump`: they tell what is there and touch nothing."""

import os
from pathlib import Path

import pytest

from ingest.spool import check, dump
from ingest.spool.format import FILE_HEADER_BYTES, Position
from tests.unit.spool.rig import Rig, payload_of


def _snapshot(path: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        file.name: (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_mode)
        for file in path.iterdir()
    }


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Records 0 to 4, of which 0 is settled, 2 is damaged, and a tail is torn."""
    rig = Rig(tmp_path)
    records = [rig.append(count=10, size=1000) for _ in range(5)]
    rig.settle(records[0])
    rig.tick()
    rig.spool.close()
    first, second = sorted(rig.path.glob("*.spool"))
    content = bytearray(first.read_bytes())
    content[records[2].offset + 500] ^= 4
    first.write_bytes(content)
    second.write_bytes(second.read_bytes() + b"torn")
    (rig.path / "notes.txt").write_text("by hand")
    return rig.path


def test_check_names_what_is_there_and_what_is_damaged(damaged: Path) -> None:
    report = check(damaged)
    first, second = report.files
    assert (first.records, first.unsettled_records) == (2, 1)
    assert (second.records, second.unsettled_documents) == (2, 20)
    assert [(found.offset, found.is_tail) for found in first.damage] == [
        (FILE_HEADER_BYTES + 2 * 1036, True)
    ]
    assert [(found.length, found.is_tail) for found in second.damage] == [(4, True)]
    assert report.cursor == Position(1, FILE_HEADER_BYTES + 1036, 10)
    assert (report.unsettled_documents, report.is_owned) == (30, False)
    assert report.foreign == ("notes.txt",)


def test_a_damaged_record_before_a_good_one_is_told_from_a_torn_tail(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    records = [rig.append() for _ in range(3)]
    rig.spool.close()
    assert not check(rig.path).is_damaged
    file = next(rig.path.glob("*.spool"))
    content = bytearray(file.read_bytes())
    content[records[1].offset + 50] ^= 4
    file.write_bytes(content)
    assert check(rig.path).is_damaged


def test_dump_gives_every_readable_record(damaged: Path) -> None:
    dumped = list(dump(damaged))
    assert [(found.first_sequence, found.is_settled) for found in dumped] == [
        (0, True),
        (10, False),
        (30, False),
        (40, False),
    ]
    assert dumped[1].payload == payload_of(10, 1000)
    assert {found.count for found in dumped} == {10}


@pytest.mark.parametrize("has_lock", [True, False], ids=["with LOCK", "copied without LOCK"])
def test_looking_changes_nothing(damaged: Path, has_lock: bool) -> None:
    if not has_lock:
        (damaged / "LOCK").unlink()
    before = _snapshot(damaged)
    check(damaged)
    list(dump(damaged))
    assert _snapshot(damaged) == before


def test_a_directory_in_use_is_said_to_be(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.append()
    assert check(rig.path).is_owned
    rig.spool.close()


def test_a_directory_that_may_only_be_read_can_be_checked(damaged: Path) -> None:
    for file in damaged.iterdir():
        os.chmod(file, 0o400)
    os.chmod(damaged, 0o500)
    assert check(damaged).unsettled_documents == 30
    os.chmod(damaged, 0o700)

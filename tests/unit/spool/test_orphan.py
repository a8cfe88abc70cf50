"""Adoption: what a dead process left is streamed, settled and removed."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.spool import Surroundings, UnknownVersion, adopt, check, orphans
from ingest.spool.format import (
    FILE_HEADER_BYTES,
    Position,
    encode_file_header,
    encode_slot,
    try_file_header,
)
from tests.unit.spool.rig import Rig, drain, payload_of, sequences_of, take_over
from tests.unit.spool.scripted_files import ScriptedFiles


def _left(tmp_path: Path, records: int = 5, size: int = 1500) -> Path:
    """A directory whose owner is gone, with records in several files."""
    rig = Rig(tmp_path)
    for _ in range(records):
        rig.append(size=size)
    rig.spool.close()
    return rig.path


def _quarantined(path: Path) -> list[str]:
    return sorted(kept.name for kept in (path.parent / "quarantine").glob("*"))


def _damage(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)


def test_only_directories_without_an_owner_are_orphans(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.append()
    assert orphans(tmp_path) == []
    assert adopt(rig.path) is None
    rig.spool.close()
    assert orphans(tmp_path) == [rig.path]


def test_an_adopted_directory_has_an_owner_again(tmp_path: Path) -> None:
    path = _left(tmp_path)
    orphan = take_over(path)
    assert orphans(tmp_path) == []
    assert adopt(path) is None
    orphan.close()
    assert orphans(tmp_path) == [path]


def test_records_come_in_order_and_the_directory_goes(tmp_path: Path) -> None:
    path = _left(tmp_path)
    assert list(drain(tmp_path).items()) == [(n, payload_of(n, 1500)) for n in range(5)]
    assert not path.exists()
    assert not (path.parent / "quarantine").exists()


def test_nothing_is_removed_before_it_is_settled(tmp_path: Path) -> None:
    path = _left(tmp_path)
    orphan = take_over(path)
    handed_out = list(orphan.records())
    assert (orphan.documents, orphan.is_drained) == (5, False)
    orphan.advance()
    with pytest.raises(ValueError, match="not drained"):
        orphan.remove()
    orphan.close()
    assert sorted(drain(tmp_path)) == [record.first_sequence for record in handed_out]


def test_an_adopter_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    path = _left(tmp_path)
    orphan = take_over(path)
    for recovered in orphan.records():
        if recovered.first_sequence != 3:
            orphan.settle(sequences_of(recovered))
    orphan.advance()
    orphan.close()
    assert list(drain(tmp_path)) == [3, 4]


def test_reading_alone_settles_nothing(tmp_path: Path) -> None:
    path = _left(tmp_path)
    orphan = take_over(path)
    next(orphan.records())
    orphan.close()
    assert sorted(drain(tmp_path)) == [0, 1, 2, 3, 4]


def test_files_go_while_later_ones_are_still_read(tmp_path: Path) -> None:
    """A long outage is drained with what the disk has, so room must come back early."""
    path = _left(tmp_path)
    seconds = iter(range(10_000))
    orphan = adopt(path, Surroundings(clock_s=lambda: float(next(seconds))))
    assert orphan is not None
    left = []
    for recovered in orphan.records():
        orphan.settle(sequences_of(recovered))
        left.append(len(list(path.glob("*.spool"))))
    assert left == sorted(left, reverse=True)
    assert left[-1] == 1
    orphan.remove()


def test_a_damaged_record_is_kept_aside_and_the_others_come(tmp_path: Path) -> None:
    path = _left(tmp_path, records=4, size=500)
    file = next(path.glob("*.spool"))
    record_bytes = (file.stat().st_size - FILE_HEADER_BYTES) // 4
    _damage(file, FILE_HEADER_BYTES + record_bytes + 100)
    orphan = take_over(path)
    got = [recovered.first_sequence for recovered in orphan.records()]
    orphan.settle(range(4))
    orphan.remove()
    assert got == [0, 2, 3]
    assert (orphan.damage.damaged_ranges, orphan.damage.torn_tails) == (1, 0)
    assert orphan.damage.damaged_bytes == record_bytes
    assert _quarantined(path) == [
        f"{path.name}-0000000001-{FILE_HEADER_BYTES + record_bytes}-{record_bytes}.damaged"
    ]
    kept = (path.parent / "quarantine" / _quarantined(path)[0]).read_bytes()
    assert len(kept) == record_bytes
    assert payload_of(1, 500)[:50] in kept


def test_a_torn_tail_is_kept_aside_and_cut_off(tmp_path: Path) -> None:
    path = _left(tmp_path, records=2, size=500)
    file = next(path.glob("*.spool"))
    whole = file.stat().st_size
    with file.open("ab") as torn:
        torn.write(b"half a record")
    orphan = take_over(path)
    assert len(list(orphan.records())) == 2
    assert (orphan.damage.torn_tails, orphan.damage.torn_bytes) == (1, 13)
    assert file.stat().st_size == whole
    assert (path.parent / "quarantine" / _quarantined(path)[0]).read_bytes() == b"half a record"
    orphan.close()
    again = take_over(path)
    assert len(list(again.records())) == 2
    assert again.damage.torn_tails == 0
    again.close()


@pytest.mark.parametrize("operation", ["pwrite", "open_or_create"])
def test_a_full_disk_stops_neither_the_draining_nor_the_keeping(
    tmp_path: Path, operation: str
) -> None:
    path = _left(tmp_path, records=3, size=500)
    file = next(path.glob("*.spool"))
    _damage(file, FILE_HEADER_BYTES + 100)
    before = file.read_bytes()
    files = ScriptedFiles()
    orphan = take_over(path, files)
    files.fail(operation, errno.ENOSPC)
    got = [recovered.first_sequence for recovered in orphan.records()]
    orphan.settle(range(3))
    files.heal()
    assert orphan.remove()
    assert got == [1, 2]
    assert files.fired == [operation]
    assert _quarantined(path) == [f"{path.name}-0000000001-whole.damaged"]
    assert (path.parent / "quarantine" / _quarantined(path)[0]).read_bytes() == before


def test_a_bad_sector_costs_its_record_only(tmp_path: Path) -> None:
    path = _left(tmp_path, records=3, size=500)
    files = ScriptedFiles()
    orphan = take_over(path, files)
    files.fail("pread", errno.EIO, passes=2)
    got = [recovered.first_sequence for recovered in orphan.records()]
    assert got == [0, 2]
    assert orphan.damage.damaged_ranges == 1
    orphan.close()


def test_a_damaged_file_header_costs_no_record(tmp_path: Path) -> None:
    path = _left(tmp_path, records=3, size=500)
    _damage(next(path.glob("*.spool")), 40)
    orphan = take_over(path)
    assert [recovered.first_sequence for recovered in orphan.records()] == [0, 1, 2]
    assert orphan.damage.damaged_ranges == 1
    orphan.close()


def test_a_later_version_is_named_and_left_alone(tmp_path: Path) -> None:
    path = _left(tmp_path)
    last = sorted(path.glob("*.spool"))[-1]
    content = last.read_bytes()
    header = try_file_header(content)
    assert header is not None
    last.write_bytes(
        encode_file_header(replace(header, version=2)) + b"whatever version 2 will hold"
    )
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(UnknownVersion, match=last.name):
        adopt(path)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    assert orphans(tmp_path) == [path]
    assert check(path).unknown_versions == (last.name,)


def test_foreign_files_are_left_and_delivery_goes_on(tmp_path: Path) -> None:
    path = _left(tmp_path)
    (path / "core.123").write_bytes(b"dumped")
    (path / "0000000009-00000000000000ff.spool").mkdir()
    orphan = take_over(path)
    assert orphan.foreign == ["0000000009-00000000000000ff.spool", "core.123"]
    assert len(list(orphan.records())) == 5
    orphan.settle(range(5))
    assert not orphan.remove()
    assert (path / "core.123").read_bytes() == b"dumped"
    assert adopt(path) is None


def test_a_file_copied_from_another_directory_is_foreign(tmp_path: Path) -> None:
    path = _left(tmp_path)
    other = path.with_name("0f6a1c9e-6d0b-4c7e-9a53-2f1f64a6c002")
    other.mkdir()
    name = next(path.glob("*.spool")).name
    (other / name).write_bytes((path / name).read_bytes())
    assert adopt(other) is None
    assert check(other).foreign == (name,)


@pytest.mark.parametrize("content", [b"", b"\0", b"I"], ids=["empty", "zero byte", "one byte"])
def test_a_file_that_never_got_its_header_is_removed(tmp_path: Path, content: bytes) -> None:
    path = _left(tmp_path, records=1)
    (path / "0000000007-0000000000000007.spool").write_bytes(content)
    assert drain(tmp_path) == {0: payload_of(0, 1500)}
    assert not path.exists()


@pytest.mark.parametrize("kept", [[], ["LOCK"], ["cursor"], ["LOCK", "cursor"]], ids=str)
def test_a_directory_without_records_is_removed(tmp_path: Path, kept: list[str]) -> None:
    path = _left(tmp_path, records=1)
    for file in path.iterdir():
        if file.name not in kept:
            file.unlink()
    assert drain(tmp_path) == {}
    assert not path.exists()


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        pytest.param(Position(2, 64, 2), [2, 3, 4], id="right"),
        pytest.param(Position(2, 1600, 2), [3, 4], id="inside a file"),
        pytest.param(Position(1, 64, 0), [0, 1, 2, 3, 4], id="behind"),
        pytest.param(Position(10, 64, 5), [], id="past everything"),
        pytest.param(Position(10, 64, 2), [2, 3, 4], id="number ahead, sequence not"),
        pytest.param(Position(1, 1 << 40, 0), [0, 1, 2, 3, 4], id="offset past the file"),
        pytest.param(Position(2, 1 << 63, 1 << 63), [], id="sequence ahead"),
    ],
)
def test_a_cursor_is_believed_as_far_as_the_files_agree(
    tmp_path: Path, position: Position, expected: list[int]
) -> None:
    path = _left(tmp_path)
    (path / "cursor").write_bytes(encode_slot(1, position))
    assert list(drain(tmp_path)) == expected
    assert not path.exists()


@pytest.mark.parametrize("operation", ["pwrite", "fdatasync", "unlink"])
def test_a_failed_advance_is_made_up_for_by_the_next(tmp_path: Path, operation: str) -> None:
    path = _left(tmp_path)
    files = ScriptedFiles()
    orphan = take_over(path, files)
    list(orphan.records())
    orphan.settle(range(5))
    files.fail(operation, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        orphan.advance()
    assert orphan.remove()
    assert not path.exists()

"""A disk that fails, is full or may not be written: no false ack, and recovery without help."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.spool import SpoolError, SpoolFull, SpoolUnavailable
from tests.unit.spool.rig import LIMITS, Rig, drain, payload_of
from tests.unit.spool.scripted_files import ScriptedFiles


@pytest.fixture
def files() -> ScriptedFiles:
    return ScriptedFiles()


@pytest.fixture
def rig(tmp_path: Path, files: ScriptedFiles) -> Rig:
    return Rig(tmp_path / "data", files)


def _errors(rig: Rig) -> list[SpoolError]:
    return [error for _, error in rig.groups if error]


def test_a_failed_fsync_fails_its_acks_and_is_never_repeated(
    rig: Rig, files: ScriptedFiles
) -> None:
    rig.append()
    files.fail("fdatasync", errno.EIO)
    rig.queue()
    rig.queue()
    rig.spool.turn()
    rig.append()
    assert (rig.acked, rig.failed) == ([0, 3], [1, 2])
    assert files.fired == ["fdatasync"]
    assert files.synced_after_failure == []


def test_what_a_failed_fsync_left_unproven_is_written_again(
    rig: Rig, files: ScriptedFiles, tmp_path: Path
) -> None:
    before = rig.append()
    files.fail("fdatasync", errno.EIO)
    doubtful = rig.append()
    assert (before.file, doubtful.file) == (1, 2)
    assert rig.on_disk()[1] == payload_of(1)
    rig.crash_into(tmp_path / "crashed")
    assert drain(tmp_path / "crashed") == {0: payload_of(0), 1: payload_of(1)}


def test_a_tail_that_can_not_be_cut_off_repeats_nothing(
    rig: Rig, files: ScriptedFiles, tmp_path: Path
) -> None:
    """The sealed file and the fresh one then hold the same record: it comes once."""
    rig.append()
    files.fail("fdatasync", errno.EIO)
    files.fail("ftruncate", errno.EIO)
    rig.append()
    assert files.fired == ["fdatasync", "ftruncate"]
    rig.crash_into(tmp_path / "crashed")
    assert drain(tmp_path / "crashed") == {0: payload_of(0), 1: payload_of(1)}


def test_after_failures_in_a_row_nothing_is_acked_until_the_disk_is_back(
    rig: Rig, files: ScriptedFiles
) -> None:
    files.fail_always("fdatasync", errno.EIO)
    while rig.spool.is_healthy:
        rig.append()
    assert len(rig.failed) == LIMITS.failures_max
    with pytest.raises(SpoolUnavailable, match="Input/output error"):
        rig.queue()
    rig.next_sequence -= 1  # it was not taken
    rig.tick()
    assert not rig.spool.is_healthy
    files.heal()
    rig.tick()
    assert rig.spool.is_healthy
    record = rig.append()
    assert rig.acked == [record.first_sequence]
    assert files.synced_after_failure == []


def test_what_waits_when_the_disk_gives_up_fails_with_it(rig: Rig, files: ScriptedFiles) -> None:
    files.fail_always("fdatasync", errno.EIO)
    for _ in range(4):
        rig.queue(size=3000)  # a file each
    rig.spool.turn()
    assert rig.failed == [0, 1, 2, 3]
    assert rig.spool.documents == 0
    assert files.fired == ["fdatasync"] * 3  # the group, its second copy, the next file


def test_single_failures_do_not_add_up(rig: Rig, files: ScriptedFiles) -> None:
    for _ in range(3 * LIMITS.failures_max):
        files.fail("fdatasync", errno.EIO)
        rig.append()
        rig.append()
    assert rig.spool.is_healthy
    assert len(rig.acked) == len(rig.failed) == 3 * LIMITS.failures_max


@pytest.mark.parametrize("taken", [1, 35, 36, 37, 136, 200, 271])
def test_a_short_write_is_completed(
    rig: Rig, files: ScriptedFiles, tmp_path: Path, taken: int
) -> None:
    files.write_short(taken, 1)
    rig.queue()
    rig.queue()
    rig.spool.turn()
    assert rig.acked == [0, 1]
    assert files.fired == ["short"] * 2
    rig.crash_into(tmp_path / "crashed")
    assert drain(tmp_path / "crashed") == {0: payload_of(0), 1: payload_of(1)}


@pytest.mark.parametrize("taken", [1, 36, 100, 136, 200])
@pytest.mark.parametrize("is_cut", [True, False], ids=["cut off", "can't be cut off"])
def test_a_disk_that_fills_up_in_a_write_leaves_whole_records(
    rig: Rig, files: ScriptedFiles, tmp_path: Path, taken: int, is_cut: bool
) -> None:
    rig.append()
    files.write_short(taken)
    files.fail("pwritev", errno.ENOSPC)
    if not is_cut:
        files.fail("ftruncate", errno.ENOSPC)
    rig.queue()
    rig.queue()
    rig.spool.turn()
    rig.append()
    assert (rig.acked, rig.failed) == ([0, 3], [1, 2])
    assert isinstance(_errors(rig)[0], SpoolFull)
    rig.crash_into(tmp_path / "crashed")
    delivered = drain(tmp_path / "crashed")
    assert {0, 3} <= set(delivered) <= ({0, 3} if is_cut else {0, 1, 2, 3})
    assert delivered == {number: payload_of(number) for number in delivered}


def test_a_full_disk_sheds_before_it_fails_and_drains_without_room(
    rig: Rig, files: ScriptedFiles
) -> None:
    records = [rig.append(size=3000) for _ in range(3)]
    for operation in ("pwritev", "open_new", "open_or_create"):
        files.fail_always(operation, errno.ENOSPC)
    rig.append()
    assert isinstance(_errors(rig)[0], SpoolFull)
    assert not rig.spool.reserve(1)
    assert rig.spool.is_healthy
    rig.settle(*records)
    rig.tick()
    assert rig.spool_files() == []
    files.heal()
    rig.tick()
    assert rig.spool.reserve(1)
    rig.append()
    assert rig.acked[-1] == 4


def test_free_space_below_the_minimum_sheds(tmp_path: Path, files: ScriptedFiles) -> None:
    files.free = 999
    rig = Rig(tmp_path, files, replace(LIMITS, free_bytes_min=1000))
    assert not rig.spool.reserve(1)
    files.free = 5000
    rig.tick()
    assert rig.spool.reserve(1)


def test_a_cursor_that_can_not_be_written_keeps_the_files(rig: Rig, files: ScriptedFiles) -> None:
    records = [rig.append(size=3000) for _ in range(3)]
    rig.settle(*records[:2])
    files.fail_always("pwrite", errno.EIO)
    rig.tick()
    assert len(rig.spool_files()) == 3
    files.heal()
    rig.tick()
    assert len(rig.spool_files()) == 1


@pytest.mark.parametrize("operation", ["unlink", "fsync_directory"])
def test_a_removal_that_fails_is_tried_again(
    rig: Rig, files: ScriptedFiles, operation: str
) -> None:
    records = [rig.append(size=3000) for _ in range(3)]
    rig.settle(*records)
    files.fail(operation, errno.EIO)
    rig.tick()
    rig.tick()
    assert files.fired == [operation]
    assert len(rig.spool_files()) == 1
    rig.append()
    assert rig.acked == [0, 1, 2, 3]


@pytest.mark.parametrize("operation", ["open_new", "fsync_directory", "fdatasync"])
def test_a_file_that_can_not_be_begun_is_not_used(
    rig: Rig, files: ScriptedFiles, tmp_path: Path, operation: str
) -> None:
    rig.append(size=4000)
    files.fail(operation, errno.EIO)
    rig.append(size=4000)
    rig.append(size=4000)
    assert (rig.acked, rig.failed) == ([0, 2], [1])
    rig.crash_into(tmp_path / "crashed")
    assert sorted(drain(tmp_path / "crashed")) == [0, 2]


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        pytest.param("make_directory", errno.EACCES, id="unwritable"),
        pytest.param("make_directory", errno.EROFS, id="read-only"),
        pytest.param("open_or_create", errno.EROFS, id="no lock"),
        pytest.param("pwrite", errno.ENOSPC, id="no room for a cursor"),
        pytest.param("open_new", errno.EMFILE, id="no descriptor left"),
    ],
)
def test_a_directory_that_can_not_be_made_refuses_acks_and_is_tried_again(
    tmp_path: Path, files: ScriptedFiles, operation: str, error: int
) -> None:
    files.fail_always(operation, error)
    rig = Rig(tmp_path, files)
    assert not rig.spool.is_healthy
    with pytest.raises(SpoolUnavailable, match=r"no durable ack now: \[Errno"):
        rig.queue()
    rig.tick()
    assert not rig.spool.is_healthy
    files.heal()
    rig.tick()
    rig.next_sequence = 0
    rig.append()
    assert rig.acked == [0]
    rig.spool.settle(range(1))
    rig.spool.close()
    assert list((tmp_path / "spool").iterdir()) == []

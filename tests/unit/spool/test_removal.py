"""Files go name first, then a step at a time, and never while their name could come back."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.spool import SpoolLimits
from ingest.spool.removal import STEP_BYTES, Removal
from tests.unit.spool.rig import Rig
from tests.unit.spool.scripted_files import ScriptedFiles

SIZE_BYTES = 3 * STEP_BYTES


class Watched:
    """A file that the test holds open, to see what is left of it when its name is gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        os.truncate(path, SIZE_BYTES)
        self.descriptor = os.open(path, os.O_RDONLY)

    @property
    def left_bytes(self) -> int:
        return os.fstat(self.descriptor).st_size


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path / "1.spool")
    yield watched
    os.close(watched.descriptor)


@pytest.fixture
def files() -> ScriptedFiles:
    return ScriptedFiles()


@pytest.fixture
def removal(files: ScriptedFiles) -> Iterator[Removal]:
    made = Removal(files)
    yield made
    made.close()


def test_the_name_goes_first_and_the_room_in_steps(file: Watched, removal: Removal) -> None:
    removal.unlink(file.path)
    seen = [(file.path.exists(), file.left_bytes, removal.bytes)]
    while not removal.is_over:
        removal.shrink(STEP_BYTES)
        seen.append((file.path.exists(), file.left_bytes, removal.bytes))
    sizes = range(SIZE_BYTES, -1, -STEP_BYTES)
    assert seen == [(False, size, size) for size in sizes]


def test_a_step_goes_on_in_the_next_file(tmp_path: Path, removal: Removal) -> None:
    for name in ("1.spool", "2.spool"):
        (tmp_path / name).write_bytes(bytes(100))
        removal.unlink(tmp_path / name)
    removal.shrink(150)
    assert removal.bytes == 50
    removal.shrink(150)
    assert removal.is_over


def test_a_file_with_a_second_name_keeps_its_content(
    file: Watched, removal: Removal, tmp_path: Path
) -> None:
    os.link(file.path, tmp_path / "whole.damaged")
    removal.unlink(file.path)
    assert removal.is_over
    assert (tmp_path / "whole.damaged").stat().st_size == SIZE_BYTES


def test_without_a_descriptor_the_file_goes_whole(
    file: Watched, removal: Removal, files: ScriptedFiles
) -> None:
    files.fail("open_for_writing", errno.EMFILE)
    removal.unlink(file.path)
    assert removal.is_over
    assert not file.path.exists()


def test_what_can_not_be_cut_off_is_given_back_whole(
    file: Watched, removal: Removal, files: ScriptedFiles
) -> None:
    removal.unlink(file.path)
    files.fail("shrink", errno.EIO)
    removal.shrink(STEP_BYTES)
    assert removal.is_over


def test_a_name_that_stays_keeps_its_file(
    file: Watched, removal: Removal, files: ScriptedFiles
) -> None:
    files.fail("unlink", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        removal.unlink(file.path)
    assert removal.is_over
    assert file.path.stat().st_size == SIZE_BYTES


def test_descriptors_are_bounded(tmp_path: Path, removal: Removal) -> None:
    before = len(os.listdir("/dev/fd"))
    for number in range(100):
        path = tmp_path / f"{number}.spool"
        path.write_bytes(b"x")
        removal.unlink(path)
    assert len(os.listdir("/dev/fd")) - before <= 16
    assert removal.bytes <= 16


LARGE = SpoolLimits(quota_bytes=1 << 30, free_bytes_min=0, file_bytes=2 * STEP_BYTES)


def removed_file(rig: Rig) -> Path:
    """A spool file of a size that takes two steps, settled and followed by another one."""
    record = rig.append(size=2 * STEP_BYTES)
    path = rig.path / rig.spool_files()[0]
    rig.settle(record, rig.append())
    return path


def test_a_turn_gives_back_a_step(tmp_path: Path, files: ScriptedFiles) -> None:
    rig = Rig(tmp_path, files, LARGE)
    path = removed_file(rig)
    rig.tick()
    assert not path.exists()
    assert STEP_BYTES < rig.spool.used_bytes < 2 * STEP_BYTES
    rig.spool.turn()
    rig.tick()
    assert rig.spool.used_bytes < STEP_BYTES
    rig.spool.close()


def test_nothing_is_cut_off_before_the_name_is_gone_for_good(
    tmp_path: Path, files: ScriptedFiles
) -> None:
    rig = Rig(tmp_path, files, LARGE)
    removed_file(rig)
    files.fail("fsync_directory", errno.EIO)
    files.fail_always("shrink", errno.EIO)
    rig.tick()
    assert files.fired == ["fsync_directory"]
    rig.spool.close()

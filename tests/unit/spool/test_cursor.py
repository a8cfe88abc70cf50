"""The cursor file: what a crash, a full disk or a bad fsync leave of it."""

import errno
from pathlib import Path

import pytest

from ingest.spool.cursor import CURSOR_BYTES, SLOT_STRIDE_BYTES, START, Cursor, read_cursor
from ingest.spool.format import Position
from tests.unit.spool.scripted_files import ScriptedFiles

FIRST, SECOND, THIRD = (Position(1, 64, 0), Position(1, 500, 10), Position(2, 64, 20))


def _cursor(path: Path, files: ScriptedFiles | None = None) -> Cursor:
    cursor = Cursor(files or ScriptedFiles(), path / "cursor")
    cursor.prepare()
    return cursor


def _read(path: Path) -> Position:
    return read_cursor(ScriptedFiles(), path / "cursor")[1]


def test_the_newest_position_is_read(tmp_path: Path) -> None:
    cursor = _cursor(tmp_path)
    for position in (FIRST, SECOND, THIRD):
        cursor.write(position)
        assert _read(tmp_path) == position


def test_it_needs_no_room_after_it_was_prepared(tmp_path: Path) -> None:
    cursor = _cursor(tmp_path)
    for position in (FIRST, SECOND, THIRD):
        cursor.write(position)
        assert (tmp_path / "cursor").stat().st_size == CURSOR_BYTES


def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    _cursor(tmp_path).write(FIRST)
    _cursor(tmp_path).write(SECOND)
    _cursor(tmp_path).write(THIRD)
    assert _read(tmp_path) == THIRD


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_write_leaves_the_other_slot(tmp_path: Path, slot: int) -> None:
    cursor = _cursor(tmp_path)
    cursor.write(FIRST)
    cursor.write(SECOND)
    content = bytearray((tmp_path / "cursor").read_bytes())
    start = slot * SLOT_STRIDE_BYTES
    content[start + 10 : start + SLOT_STRIDE_BYTES] = bytes(SLOT_STRIDE_BYTES - 10)
    (tmp_path / "cursor").write_bytes(content)
    assert _read(tmp_path) == (FIRST if slot == 0 else SECOND)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\0", id="one byte"),
        pytest.param(bytes(CURSOR_BYTES), id="zeros"),
        pytest.param(b"\xff" * CURSOR_BYTES, id="ones"),
        pytest.param(b"not a cursor at all", id="foreign"),
    ],
)
def test_without_a_good_slot_all_is_unsettled(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "cursor").write_bytes(content)
    assert _read(tmp_path) == START
    cursor = _cursor(tmp_path)
    cursor.write(FIRST)
    assert _read(tmp_path) == FIRST


@pytest.mark.parametrize("operation", ["pwrite", "fdatasync"])
def test_a_failed_write_keeps_the_old_position_and_uses_a_new_descriptor(
    tmp_path: Path, operation: str
) -> None:
    files = ScriptedFiles()
    cursor = _cursor(tmp_path, files)
    cursor.write(FIRST)
    files.fail(operation, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        cursor.write(SECOND)
    assert cursor.position == FIRST
    cursor.write(THIRD)
    assert _read(tmp_path) == THIRD
    assert files.synced_after_failure == []

"""Torn tails and bit rot, at every byte: what is intact comes, what is damaged is kept aside."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingest.spool.cursor import SLOT_STRIDE_BYTES
from ingest.spool.format import (
    FILE_HEADER_BYTES,
    RECORD_HEADER_BYTES,
    SLOT_BYTES,
    encode_record_header,
)
from ingest.spool.recovery import SEARCH_BLOCK_BYTES
from tests.unit.spool.rig import Rig, UnsyncedFiles, drain, payload_of

FILES = UnsyncedFiles()
SIZES = (40, 1, 90, 25)
ENDS = list(
    itertools.accumulate((RECORD_HEADER_BYTES + size for size in SIZES), initial=FILE_HEADER_BYTES)
)
PAYLOADS = {number: payload_of(number, size) for number, size in enumerate(SIZES)}
LENGTH_FIELD = slice(16, 20)


@pytest.fixture
def spool_file(tmp_path: Path) -> Path:
    """The one file of a directory whose owner is gone, with four records."""
    rig = Rig(tmp_path, FILES)
    for size in SIZES:
        rig.append(size=size)
    rig.spool.close()
    file = next(rig.path.glob("*.spool"))
    assert file.stat().st_size == ENDS[-1]
    return file


class Scene:
    """Puts a directory back as it was, but for one file, and drains it."""

    def __init__(self, spool_file: Path) -> None:
        self._path = spool_file.parent
        self._root = self._path.parent
        self._file = spool_file
        self._original = {file: file.read_bytes() for file in self._path.iterdir()}
        self.content = self._original[spool_file]

    def drain(self, content: bytes, file: Path | None = None) -> dict[int, bytes]:
        shutil.rmtree(self._root)
        self._path.mkdir(parents=True)
        for original, its_content in self._original.items():
            original.write_bytes(its_content)
        (file or self._file).write_bytes(content)
        delivered = drain(self._root.parent, FILES)
        assert not self._path.exists()
        return delivered

    def quarantined(self) -> list[bytes]:
        return [kept.read_bytes() for kept in sorted((self._root / "quarantine").glob("*"))]


def test_a_file_cut_at_any_byte_gives_the_records_before(spool_file: Path) -> None:
    scene = Scene(spool_file)
    for cut in range(len(scene.content) + 1):
        whole = [number for number in PAYLOADS if ENDS[number + 1] <= cut]
        assert scene.drain(scene.content[:cut]) == {number: PAYLOADS[number] for number in whole}
        good_end = max(end for end in [0, *ENDS] if end <= cut)
        torn = scene.content[good_end:cut]
        assert scene.quarantined() == ([torn] if torn else [])


@pytest.mark.parametrize("cut", [0, 1, 63, 64, 65, 100, 139, 140, 141, ENDS[-1] - 1])
def test_after_a_torn_tail_a_new_spool_writes_and_reads(spool_file: Path, cut: int) -> None:
    scene = Scene(spool_file)
    scene.drain(scene.content[:cut])
    rig = Rig(spool_file.parents[2], FILES)
    for size in SIZES:
        rig.append(size=size)
    assert rig.on_disk() == PAYLOADS
    rig.spool.close()
    assert drain(spool_file.parents[2], FILES) == PAYLOADS


@pytest.mark.parametrize(
    "rot",
    [
        pytest.param(lambda content, at: content[at] ^ 0x01, id="lowest bit flipped"),
        pytest.param(lambda content, at: content[at] ^ 0x80, id="highest bit flipped"),
        pytest.param(lambda content, at: 0, id="zeroed"),
        pytest.param(lambda content, at: content[at - 1], id="the byte before, twice"),
    ],
)
def test_rot_in_any_byte_costs_its_record_only(
    spool_file: Path, rot: Callable[[bytes, int], int]
) -> None:
    scene = Scene(spool_file)
    for at in range(len(scene.content)):
        content = bytearray(scene.content)
        content[at] = rot(scene.content, at)
        hit = {number for number in PAYLOADS if ENDS[number] <= at < ENDS[number + 1]}
        if content == scene.content:
            hit = set()
        expected = {number: PAYLOADS[number] for number in PAYLOADS if number not in hit}
        assert scene.drain(bytes(content)) == expected
        assert bool(scene.quarantined()) == (content != scene.content)


def _damaged_files(content: bytes) -> Iterator[tuple[str, bytes, set[int]]]:
    """What happens to whole ranges: a name, the file, and the records that must come."""
    first, second, third, _ = ENDS[:4]
    everything = set(PAYLOADS)
    huge = bytearray(content)
    huge[first + LENGTH_FIELD.start : first + LENGTH_FIELD.stop] = b"\xff" * 4
    yield "length 0xFFFFFFFF", bytes(huge), {1, 2, 3}
    longer = bytearray(content)
    longer[first + LENGTH_FIELD.start] += 1
    yield "length one too long", bytes(longer), {1, 2, 3}
    yield "length zero", content[: first + 16] + bytes(4) + content[first + 20 :], {1, 2, 3}
    yield "record twice", content[:second] + content[first:second] + content[second:], everything
    yield "last record twice", content + content[ENDS[3] :], everything
    yield "bytes inserted", content[: third + 3] + b"???" + content[third + 3 :], {0, 1, 3}
    yield "bytes missing", content[: third + 3] + content[third + 9 :], {0, 1, 3}
    yield "only records", content[FILE_HEADER_BYTES:], {1, 2, 3}
    yield "all zero", bytes(len(content)), set()
    yield "zero tail", content + bytes(8192), everything
    yield "zero middle", content[:second] + bytes(600) + content[second:], everything
    yield "another file's stale bytes", content + _stale(b"stale"), everything
    yield "foreign", b"#!/bin/sh\necho not a spool file\n" * 9, set()
    yield "empty", b"", set()
    yield "one byte", b"I", set()


def _stale(payload: bytes) -> bytes:
    return encode_record_header(99, 1, 50, len(payload), [payload]) + payload


@pytest.mark.parametrize("case", range(15))
def test_damaged_ranges_cost_what_they_hold(spool_file: Path, case: int) -> None:
    scene = Scene(spool_file)
    name, content, expected = list(_damaged_files(scene.content))[case]
    assert scene.drain(content) == {number: PAYLOADS[number] for number in expected}, name


def test_every_case_of_damage_is_tried(spool_file: Path) -> None:
    assert len(list(_damaged_files(spool_file.read_bytes()))) == 15


def test_rot_in_any_byte_of_the_cursor_repeats_at_most(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FILES)
    records = [rig.append() for _ in range(3)]
    for record in records[:2]:
        rig.settle(record)
        rig.tick()
    rig.append()
    rig.crash_into(tmp_path / "crashed")
    path = tmp_path / "crashed" / "spool" / str(rig.spool.id)
    scene = Scene(next(path.glob("*.spool")))
    cursor = (path / "cursor").read_bytes()
    used = [slot + at for slot in (0, SLOT_STRIDE_BYTES) for at in range(SLOT_BYTES)]
    for at in used:
        rotten = bytearray(cursor)
        rotten[at] ^= 0x40
        delivered = scene.drain(bytes(rotten), path / "cursor")
        assert {2, 3} <= set(delivered) <= {1, 2, 3}


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 5000], ids=["empty", "byte", "ones"])
@pytest.mark.parametrize("name", ["LOCK", "cursor"])
def test_garbage_in_the_small_files_costs_nothing(
    spool_file: Path, name: str, content: bytes
) -> None:
    assert Scene(spool_file).drain(content, spool_file.with_name(name)) == PAYLOADS


def test_a_payload_that_looks_like_a_record_is_not_taken_for_one(tmp_path: Path) -> None:
    """A producer knows the format but not the salt; its document is damaged, so it is searched."""
    rig = Rig(tmp_path, FILES)
    forged = b"".join(_stale(b"forged") for _ in range(50))
    rig.spool.append(forged, 1, 0, 0)
    rig.spool.append(b"honest", 1, 1, 1)
    rig.spool.turn()
    rig.spool.close()
    file = next(rig.path.glob("*.spool"))
    content = bytearray(file.read_bytes())
    content[FILE_HEADER_BYTES + 30] ^= 1
    file.write_bytes(content)
    assert drain(tmp_path, FILES) == {1: b"honest"}


@pytest.mark.parametrize("gap_bytes", [SEARCH_BLOCK_BYTES + more for more in (-5, 0, 1, 999)])
def test_a_good_record_is_found_behind_a_long_damaged_range(
    spool_file: Path, gap_bytes: int
) -> None:
    """Further than one block of the search, or across the border of two."""
    scene = Scene(spool_file)
    content = scene.content[: ENDS[1]] + b"x" * gap_bytes + scene.content[ENDS[1] :]
    assert scene.drain(content) == PAYLOADS
    assert [len(kept) for kept in scene.quarantined()] == [gap_bytes]

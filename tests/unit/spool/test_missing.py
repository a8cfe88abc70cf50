"""How many documents damage has cost: from the sequences around it, else from its own headers."""

import errno
from pathlib import Path

import pytest

from ingest.spool.cursor import CURSOR_BYTES
from ingest.spool.format import FILE_HEADER_BYTES, RECORD_HEADER_BYTES
from ingest.spool.missing import Missing
from tests.unit.spool.rig import Rig, UnsyncedFiles, take_over
from tests.unit.spool.scripted_files import ScriptedFiles

FILES = UnsyncedFiles()
SIZE = 500
RECORD_BYTES = RECORD_HEADER_BYTES + SIZE
COUNT_FIELD = 20  # of a record header
COUNT = 3  # documents a record


def missing_of(path: Path) -> tuple[list[int], list[int], int]:
    """First sequences that come, what is missing before each, and what at the end."""
    orphan = take_over(path, FILES)
    got = list(orphan.records())
    orphan.close()
    before = [recovered.missing_before for recovered in got]
    return [recovered.first_sequence for recovered in got], before, orphan.missing_at_end


def left(tmp_path: Path, records: int = 6, settled: int = 0) -> Path:
    """Records of three documents each, seven to a file, whose owner is gone."""
    rig = Rig(tmp_path, FILES)
    appended = [rig.append(COUNT, SIZE) for _ in range(records)]
    rig.settle(*appended[:settled])
    rig.tick()
    rig.spool.close()
    return rig.path


def files_of(path: Path) -> list[Path]:
    return sorted(path.glob("*.spool"))


def spoil(file: Path, *records: int, at: int = 100, length: int = 1) -> None:
    """Change bytes of these records of a file, from their start on."""
    content = bytearray(file.read_bytes())
    for record in records:
        start = FILE_HEADER_BYTES + record * RECORD_BYTES + at
        for offset in range(start, min(start + length, len(content))):
            content[offset] ^= 0x5A
    file.write_bytes(content)


@pytest.mark.parametrize("at", [0, COUNT_FIELD, 100], ids=["magic", "count", "payload"])
@pytest.mark.parametrize(
    ("spoilt", "got", "before"),
    [
        pytest.param([], [0, 3, 6, 9, 12, 15], [0, 0, 0, 0, 0, 0], id="none"),
        pytest.param([0], [3, 6, 9, 12, 15], [3, 0, 0, 0, 0], id="the first"),
        pytest.param([2], [0, 3, 9, 12, 15], [0, 0, 3, 0, 0], id="one"),
        pytest.param([1, 2, 3], [0, 12, 15], [0, 9, 0], id="a run"),
        pytest.param([1, 4], [0, 6, 9, 15], [0, 3, 0, 3], id="two apart"),
    ],
)
def test_a_gap_between_intact_records_is_what_is_missing(
    tmp_path: Path, spoilt: list[int], got: list[int], before: list[int], at: int
) -> None:
    path = left(tmp_path)
    spoil(files_of(path)[0], *spoilt, at=at)
    assert missing_of(path) == (got, before, 0)


@pytest.mark.parametrize(
    ("at", "length", "told"),
    [
        pytest.param(100, 1, 2 * COUNT, id="payloads: their headers tell"),
        pytest.param(0, 1, 0, id="headers: nobody knows"),
        pytest.param(0, RECORD_BYTES, 0, id="everything: nobody knows"),
        pytest.param(COUNT_FIELD + 3, 1, 0, id="an absurd count is not believed"),
        pytest.param(COUNT_FIELD + 4, 1, 0, id="nor one of other documents"),
    ],
)
def test_behind_the_last_intact_record_the_damaged_headers_tell(
    tmp_path: Path, at: int, length: int, told: int
) -> None:
    path = left(tmp_path)
    spoil(files_of(path)[0], 4, 5, at=at, length=length)
    assert missing_of(path) == ([0, 3, 6, 9], [0, 0, 0, 0], told)


def test_what_was_torn_was_never_acked_and_is_not_missing(tmp_path: Path) -> None:
    path = left(tmp_path)
    (file,) = files_of(path)
    for cut in (1, SIZE, RECORD_BYTES - 1):
        file.write_bytes(file.read_bytes()[: FILE_HEADER_BYTES + 5 * RECORD_BYTES - cut])
        assert missing_of(path) == ([0, 3, 6, 9], [0, 0, 0, 0], 0)


@pytest.mark.parametrize("length", [1, RECORD_BYTES], ids=["payload", "everything"])
def test_the_next_file_ends_the_gap_of_a_damaged_end(tmp_path: Path, length: int) -> None:
    path = left(tmp_path, records=9)
    spoil(files_of(path)[0], 5, 6, at=100 if length == 1 else 0, length=length)
    got = [0, 3, 6, 9, 12, 21, 24]
    assert missing_of(path) == (got, [0, 0, 0, 0, 0, 6, 0], 0)


def test_its_header_does_so_though_none_of_its_records_is_left(tmp_path: Path) -> None:
    path = left(tmp_path, records=8)
    first, second = files_of(path)
    spoil(first, 6, at=0, length=RECORD_BYTES)
    second.write_bytes(second.read_bytes()[:FILE_HEADER_BYTES])
    assert missing_of(path) == ([0, 3, 6, 9, 12, 15], [0] * 6, 3)


def test_a_file_that_is_cut_to_nothing_leaves_a_gap(tmp_path: Path) -> None:
    path = left(tmp_path, records=9)
    first, _ = files_of(path)
    first.write_bytes(first.read_bytes()[:10])
    assert missing_of(path) == ([21, 24], [21, 0], 0)


def test_a_damaged_file_header_hides_no_document(tmp_path: Path) -> None:
    path = left(tmp_path, records=9)
    for file in files_of(path):
        content = bytearray(file.read_bytes())
        content[40] ^= 1
        file.write_bytes(content)
    got, before, at_end = missing_of(path)
    assert (len(got), sum(before), at_end) == (9, 0, 0)


def test_settled_records_are_not_missing(tmp_path: Path) -> None:
    path = left(tmp_path, settled=3)
    spoil(files_of(path)[0], 1, 3)
    assert missing_of(path) == ([12, 15], [3, 0], 0)


@pytest.mark.parametrize("is_header_lost", [False, True], ids=["header", "no header"])
def test_a_lost_cursor_does_not_make_what_is_gone_missing(
    tmp_path: Path, is_header_lost: bool
) -> None:
    """The first file went when all in it was settled."""
    path = left(tmp_path, records=10, settled=8)
    (file,) = files_of(path)
    (path / "cursor").write_bytes(bytes(CURSOR_BYTES))
    spoil(file, 0)
    if is_header_lost:
        spoil(file, 0, at=-FILE_HEADER_BYTES)
    assert missing_of(path) == ([24, 27], [3, 0], 0)


def test_what_could_not_be_written_is_a_gap_and_not_missing(tmp_path: Path) -> None:
    files = ScriptedFiles()
    rig = Rig(tmp_path, files)
    rig.append(COUNT, SIZE)
    files.fail("pwritev", errno.ENOSPC)
    rig.append(COUNT, SIZE)
    rig.append(COUNT, SIZE)
    rig.spool.close()
    assert missing_of(rig.path) == ([0, 6], [0, 0], 0)


def test_the_cursor_stays_before_damage_until_its_documents_are_told(tmp_path: Path) -> None:
    path = left(tmp_path)
    spoil(files_of(path)[0], 2, 3)
    orphan = take_over(path, FILES)
    records = orphan.records()
    for _ in range(2):
        orphan.settle(range(next(records).first_sequence + COUNT))
    orphan.advance()
    orphan.close()
    assert missing_of(path) == ([12, 15], [6, 0], 0)


def test_a_damaged_end_is_told_to_the_next_adopter_as_well(tmp_path: Path) -> None:
    path = left(tmp_path)
    spoil(files_of(path)[0], 5)
    assert missing_of(path) == missing_of(path) == ([0, 3, 6, 9, 12], [0] * 5, 3)


def test_without_a_known_beginning_the_headers_tell() -> None:
    missing = Missing(None)
    missing.meet_damage(4)
    missing.meet_record(1000, 5)
    missing.meet_damage(4)
    missing.meet_record(1008, 1)
    assert missing.take() == 4 + 3
    assert missing.take() == 0

"""A directory as format version 1 wrote it. Later versions must read it; never write it anew."""

import shutil
from pathlib import Path

from ingest.spool import check, dump
from ingest.spool.format import Position
from tests.unit.spool.rig import DIRECTORY_ID, drain

GOLDEN = Path(__file__).parents[2] / "data" / "spool" / "v1"
PAYLOADS = {
    number: b'{"create":{"_id":"golden-%d"}}\n{"message":"kept since version 1"}\n' % number * 3
    for number in (0, 3, 6, 9)
}


def test_version_1_is_understood() -> None:
    report = check(GOLDEN / "spool" / str(DIRECTORY_ID))
    assert report.cursor == Position(1, 295, 3)
    assert [file.documents for file in report.files] == [6, 6]
    assert [damage.length for file in report.files for damage in file.damage] == [20]
    assert [file.created_ms for file in report.files] == [1_000_000, 1_001_000]


def test_version_1_is_dumped() -> None:
    dumped = list(dump(GOLDEN / "spool" / str(DIRECTORY_ID)))
    assert {found.first_sequence: found.payload for found in dumped} == PAYLOADS


def test_version_1_is_adopted(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
    assert drain(tmp_path) == {number: PAYLOADS[number] for number in (3, 6, 9)}
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["quarantine"]

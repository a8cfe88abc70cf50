"""`ingest spool`: what is left on disk is shown and given out, and never changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ingest.spool.format import encode_file_header, try_file_header
from tests.unit.commands.rig import Run, shown
from tests.unit.spool.rig import Rig, payload_of

LATER = UUID("1f6a1c9e-6d0b-4c7e-9a53-2f1f64a6c001")


def leave(data_dir: Path, records: int = 3, settled: int = 1, **options: Any) -> Rig:
    """The directory of a process that is gone: records of two documents each."""
    rig = Rig(data_dir, **options)
    appended = [rig.append(count=2) for _ in range(records)]
    rig.settle(*appended[:settled])
    rig.tick()
    rig.spool.close()
    return rig


def break_record(rig: Rig, sequence: int) -> None:
    (file,) = rig.path.glob("*.spool")
    payload = payload_of(sequence)
    file.write_bytes(file.read_bytes().replace(payload, b"?" + payload[1:]))


def test_check_shows_what_is_left(run: Run, tmp_path: Path) -> None:
    rig = leave(tmp_path)
    code, out, err = run("spool", "check", "--data-dir", tmp_path)
    assert (code, err) == (0, "")
    directory, file = out.splitlines()
    assert directory == f"{rig.path.name}  nobody's, 4 documents not settled"
    assert "3 records, 6 documents, 4 not settled" in file


def test_check_can_be_read_by_machines(run: Run, tmp_path: Path) -> None:
    leave(tmp_path)
    leave(tmp_path, settled=0, directory_id=LATER)
    code, out, _ = run("spool", "check", "--json", "--data-dir", tmp_path)
    assert code == 0
    assert [each["unsettled_documents"] for each in shown(out)] == [4, 6]
    assert [each["is_damaged"] for each in shown(out)] == [False, False]
    assert shown(out)[0]["files"][0]["records"] == 3
    assert shown(out)[0]["cursor"]["sequence"] == 2


def test_check_fails_where_something_is_damaged(run: Run, tmp_path: Path) -> None:
    rig = leave(tmp_path)
    break_record(rig, 2)
    code, out, _ = run("spool", "check", "--data-dir", tmp_path)
    assert code == 1
    assert "    damaged: 136 bytes at " in out


def test_a_torn_tail_is_shown_and_no_damage(run: Run, tmp_path: Path) -> None:
    rig = leave(tmp_path)
    (file,) = rig.path.glob("*.spool")
    file.write_bytes(file.read_bytes()[:-5])
    code, out, _ = run("spool", "check", "--data-dir", tmp_path)
    assert code == 0
    assert "    torn tail: 131 bytes at " in out


def test_check_names_what_it_leaves_alone(run: Run, tmp_path: Path) -> None:
    rig = leave(tmp_path)
    (rig.path / "notes.txt").write_text("by hand")
    _, out, _ = run("spool", "check", "--data-dir", tmp_path)
    assert "  notes.txt  not ours; left alone" in out


def test_check_says_that_a_living_process_writes(run: Run, tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.append()
    _, out, _ = run("spool", "check", "--data-dir", tmp_path)
    rig.spool.close()
    assert "  in use, 1 documents not settled" in out


def test_dump_is_what_is_not_settled_byte_by_byte(run: Run, tmp_path: Path) -> None:
    leave(tmp_path)
    code, out, err = run("spool", "dump", "--data-dir", tmp_path)
    assert (code, err) == (0, "")
    assert out.encode() == payload_of(2) + payload_of(4)
    _, out, _ = run("spool", "dump", "--all", "--data-dir", tmp_path)
    assert out.encode() == payload_of(0) + payload_of(2) + payload_of(4)


def test_dump_passes_over_damage(run: Run, tmp_path: Path) -> None:
    break_record(leave(tmp_path), 2)
    code, out, _ = run("spool", "dump", "--data-dir", tmp_path)
    assert (code, out.encode()) == (0, payload_of(4))


def test_dump_names_a_newer_version_and_reads_the_other_directories(
    run: Run, tmp_path: Path
) -> None:
    newer = leave(tmp_path)
    leave(tmp_path, settled=0, directory_id=LATER)
    (file,) = newer.path.glob("*.spool")
    header = try_file_header(file.read_bytes())
    assert header is not None
    file.write_bytes(encode_file_header(replace(header, version=9)))
    code, out, err = run("spool", "dump", "--data-dir", tmp_path)
    assert code == 1
    assert file.name in err
    assert out.encode() == payload_of(0) + payload_of(2) + payload_of(4)


@pytest.mark.parametrize("command", ["check", "dump"])
def test_looking_changes_nothing_and_makes_nothing(run: Run, tmp_path: Path, command: str) -> None:
    code, _, err = run("spool", command, "--data-dir", tmp_path)
    assert code == 1
    assert "no such directory; give --data-dir" in err
    assert list(tmp_path.iterdir()) == []
    leave(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert run("spool", command, "--data-dir", tmp_path)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before

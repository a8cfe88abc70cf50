"""Dead letters on disk: whole lines only, as the producer sent them, readable by nobody else."""

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from ingest.delivery.dead_letters import DeadLetter, DeadLetters

ACTION = b'{"create":{"_index":"logs-a-default","_id":"x.1"}}'
ERROR = {"type": "document_parsing_exception", "reason": 'says "no"\n', "caused_by": {"type": "c"}}


def letter(document: bytes = b'{"a":1}\n', action_line: bytes = ACTION) -> DeadLetter:
    return DeadLetter(action_line, document, 400, ERROR, 2)


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    opened = DeadLetters(tmp_path, lambda: "now")
    yield opened
    opened.close()


def files(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "dead-letters").glob("*.ndjson"))


def written(data_dir: Path) -> list[bytes]:
    lines = b"".join(file.read_bytes() for file in files(data_dir))
    assert lines.endswith(b"\n")
    return lines.split(b"\n")[:-1]


def test_a_letter_says_what_when_where_and_why(letters: DeadLetters, tmp_path: Path) -> None:
    letters.append([letter()])
    [line] = written(tmp_path)
    assert orjson.loads(line) == {
        "time": "now",
        "target": "logs-a-default",
        "action": "create",
        "id": "x.1",
        "status": 400,
        "attempts": 2,
        "error": ERROR,
        "document": {"a": 1},
    }


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            b'{"n":18446744073709551616,"e":1e5,"d":0.1000000000000000000001}', id="number"
        ),
        pytest.param(b'{ "b" : 1 ,\t"a" : 2 }', id="white space and order"),
        pytest.param(b'{"s":"\\u00e9\\/ \\n \xc3\xa9"}', id="escapes"),
        pytest.param(b"{}", id="empty"),
        pytest.param(b'{"a":1,"a":2}', id="duplicate keys"),
        pytest.param(b'{"a":"' + b"x" * 200_000 + b'"}', id="large"),
    ],
)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""], ids=["lf", "crlf", "none"])
def test_the_document_keeps_its_bytes(
    letters: DeadLetters, tmp_path: Path, document: bytes, ending: bytes
) -> None:
    letters.append([letter(document + ending)])
    [line] = written(tmp_path)
    assert line.endswith(b',"document":' + document + b"}")
    orjson.loads(line)


def test_an_action_line_without_id_has_none(letters: DeadLetters, tmp_path: Path) -> None:
    letters.append([letter(action_line=b'{"index":{"_index":"i"}}')])
    content = orjson.loads(written(tmp_path)[0])
    assert (content["action"], content["id"]) == ("index", None)


def test_one_line_a_letter_in_one_file(letters: DeadLetters, tmp_path: Path) -> None:
    letters.append([letter(b'{"n":%d}\n' % n) for n in range(3)])
    letters.append([letter(b'{"n":3}\n')])
    assert [orjson.loads(line)["document"]["n"] for line in written(tmp_path)] == [0, 1, 2, 3]
    assert len(files(tmp_path)) == 1


def test_nobody_else_may_read_them(letters: DeadLetters, tmp_path: Path) -> None:
    letters.append([letter()])
    assert stat.S_IMODE(files(tmp_path)[0].stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "dead-letters").stat().st_mode) == 0o700


def test_writers_never_share_a_file(letters: DeadLetters, tmp_path: Path) -> None:
    other = DeadLetters(tmp_path, lambda: "now")
    letters.append([letter()])
    other.append([letter()])
    other.close()
    assert len(files(tmp_path)) == 2


def test_no_letter_no_file(letters: DeadLetters, tmp_path: Path) -> None:
    letters.close()
    assert not (tmp_path / "dead-letters").exists()


def test_after_close_letters_go_to_a_fresh_file(letters: DeadLetters, tmp_path: Path) -> None:
    letters.append([letter()])
    letters.close()
    letters.close()
    letters.append([letter()])
    assert len(files(tmp_path)) == len(written(tmp_path)) == 2


@contextmanager
def files_end_at(size_bytes: int) -> Iterator[None]:
    """The kernel cuts writes short there and then refuses them, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_half_a_letter_is_never_left(letters: DeadLetters, tmp_path: Path) -> None:
    letters.append([letter(b'{"n":0}\n')])
    whole = files(tmp_path)[0].stat().st_size
    with files_end_at(whole + whole // 2), pytest.raises(OSError, match="large"):
        letters.append([letter(b'{"n":1}\n')])
    letters.append([letter(b'{"n":1}\n')])
    assert sorted(orjson.loads(line)["document"]["n"] for line in written(tmp_path)) == [0, 1]


def test_a_full_disk_leaves_no_files_behind(letters: DeadLetters, tmp_path: Path) -> None:
    for _ in range(3):
        with files_end_at(10), pytest.raises(OSError, match="large"):
            letters.append([letter()])
    assert files(tmp_path) == []


def test_failures_leak_no_descriptor(letters: DeadLetters, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with files_end_at(10), pytest.raises(OSError, match="large"):
            letters.append([letter()])
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_directory_that_can_not_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dead-letters").write_text("in the way")
    with pytest.raises(OSError, match="exists"):
        DeadLetters(tmp_path, lambda: "now").append([letter()])

"""Comparing two runs: what got worse, what only wavers, and what was not the same."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from loadtest import compare, result
from loadtest.compare import Difference
from loadtest.result import Figures, Memory, Result
from profiling.compare import markdown
from profiling.rows import Row

BULK = Figures(
    posts=100,
    failures=0,
    shed=0,
    pending=0,
    p50_ms=20,
    p95_ms=100,
    p99_ms=200,
    documents=1000,
    received=1000,
    accepted=1000,
    rejected=0,
    trimmed=0,
    unanswered=0,
)
RUN = Result(shape="ramp", users=5, seconds=10, kinds={"bulk": BULK}, service={}, faults=[])


def slower(figures: Figures, factor: float) -> Figures:
    return msgspec.structs.replace(figures, p95_ms=figures.p95_ms * factor)


@pytest.mark.parametrize(
    ("difference", "is_worse"),
    [
        pytest.param(Difference("p95", 100, 125), False, id="at-the-tolerance"),
        pytest.param(Difference("p95", 100, 126), True, id="slower"),
        pytest.param(Difference("p95", 100, 10), False, id="faster"),
        pytest.param(Difference("p95", 1, 9, least=10), False, id="too-little-to-count"),
        pytest.param(Difference("p95", 1, 12, least=10), True, id="from-almost-nothing"),
        pytest.param(Difference("rate", 100, 75, True), False, id="rate-at-the-tolerance"),
        pytest.param(Difference("rate", 100, 74, True), True, id="lower-rate"),
        pytest.param(Difference("rate", 100, 200, True), False, id="higher-rate"),
        pytest.param(Difference("errors", 0, 0), False, id="none-before-and-after"),
        pytest.param(Difference("errors", 0, 0.01), True, id="errors-that-were-not-there"),
    ],
)
def test_worse_is_beyond_the_tolerance(difference: Difference, is_worse: bool) -> None:
    assert difference.is_worse(0.25) is is_worse


def test_only_kinds_of_both_runs_are_compared() -> None:
    other = msgspec.structs.replace(RUN, kinds={"gzip": BULK})
    names = {each.name for each in compare.differences(RUN, other)}
    assert names == {"documents/s", "error ratio", "shed ratio", "faults"}


def test_memory_is_compared_where_both_runs_tell() -> None:
    small, large = (
        msgspec.structs.replace(RUN, memory=Memory(peak_mb=peak_mb, slope_mb_per_minute=None))
        for peak_mb in (100, 150)
    )
    table = compare.table(compare.differences(small, large), 0.25)
    assert "✗ memory MB" in table
    assert "memory MB" not in compare.table(compare.differences(RUN, large), 0.25)


def test_the_table_marks_what_got_worse() -> None:
    after = msgspec.structs.replace(RUN, kinds={"bulk": slower(BULK, 1.5)})
    table = compare.table(compare.differences(RUN, after), 0.25)
    (marked,) = [line for line in table.splitlines() if line.startswith("✗")]
    assert marked.split() == ["✗", "bulk", "p95", "ms", "100", "150", "1.50"]


def test_settings_that_differ_are_shown_but_not_date_and_commit() -> None:
    before = {"commit": "a", "started": "1", "workers": 1, "ack": "memory"}
    after = {"commit": "b", "started": "2", "workers": 2, "ack": "memory"}
    assert compare.changed_settings(before, after) == ["workers: 1 → 2"]


@pytest.mark.parametrize(
    ("factor", "code"), [pytest.param(1.1, 0, id="same"), pytest.param(2, 1, id="worse")]
)
def test_the_exit_code_says_whether_it_got_worse(tmp_path: Path, factor: float, code: int) -> None:
    after = msgspec.structs.replace(RUN, kinds={"bulk": slower(BULK, factor)})
    for name, run, workers in (("before", RUN, 1), ("after", after, 2)):
        folder = tmp_path / name
        folder.mkdir()
        result.write(run, folder / result.FILE)
        (folder / "configuration.json").write_text(json.dumps({"workers": workers}))
    done = _compared(tmp_path / "before", tmp_path / "after")
    assert done.returncode == code
    assert "not the same: workers: 1 → 2" in done.stdout


def test_a_missing_result_is_a_usage_error(tmp_path: Path) -> None:
    done = _compared(tmp_path / "nothing", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nothing" in done.stderr


def test_peers_are_compared_by_cpu_of_all_their_processes() -> None:
    table = markdown([_row("ingest", 1, 1.0), _row("peer", 20, 4.0)], "a machine")
    ours, peer = table.splitlines()[-2:]
    assert ours.startswith("| 100 | ingest | 2.0 | 1.0 × |")
    assert peer.startswith("| 100 | peer | 24.0 | 12.0 × |")


def _row(name: str, user_us: float, supervisor_us: float) -> Row:
    return Row(
        name=name,
        ack="memory",
        size=100,
        documents=1000,
        user_us=user_us,
        system_us=0.0,
        parse_us=1.0,
        supervisor_us=supervisor_us,
        documents_per_s=10,
        posts_per_s=1,
        p50_ms=1,
        p99_ms=2,
        peak_mb=50,
        shed=0,
        faults=[],
    )


def _compared(before: Path, after: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "loadtest.compare", str(before), str(after)]
    return subprocess.run(command, capture_output=True, text=True, check=False)

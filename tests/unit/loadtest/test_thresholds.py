"""Thresholds: what is asked is checked, what is not asked is not, and mistakes in the file show."""

from pathlib import Path

import pytest

from loadtest import result, thresholds
from loadtest.posts import KINDS
from loadtest.result import Figures, Memory, Result
from loadtest.shapes import SHAPES, Shape
from loadtest.thresholds import Check, Latency, Limits


def figures(
    posts: int = 100, failures: int = 0, shed: int = 0, p95: float = 10, p99: float = 20
) -> Figures:
    return Figures(
        posts=posts,
        failures=failures,
        shed=shed,
        pending=0,
        p50_ms=5,
        p95_ms=p95,
        p99_ms=p99,
        documents=posts * 10,
        received=posts * 10,
        accepted=posts * 10,
        rejected=0,
        trimmed=0,
        unanswered=0,
    )


def run(dead_letters: int = 0, **kinds: Figures) -> Result:
    return Result(
        shape="ramp",
        users=5,
        seconds=10,
        kinds=kinds,
        service={"dead_letter": dead_letters},
        faults=[],
        memory=Memory(peak_mb=150, slope_mb_per_minute=0.5),
    )


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "limits.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("limits", "measured", "is_kept"),
    [
        pytest.param(Limits(error_ratio_max=0.05), 0.05, True, id="errors-at-the-limit"),
        pytest.param(Limits(error_ratio_max=0.04), 0.05, False, id="errors-above"),
        pytest.param(Limits(shed_ratio_max=0.1), 0.1, True, id="shed-at-the-limit"),
        pytest.param(Limits(shed_ratio_max=0.0), 0.1, False, id="shed-above"),
        pytest.param(Limits(dead_letters_max=3), 3, True, id="dead-letters-at-the-limit"),
        pytest.param(Limits(dead_letters_max=2), 3, False, id="dead-letters-above"),
        pytest.param(Limits(documents_per_s_min=200), 200, True, id="rate-at-the-limit"),
        pytest.param(Limits(documents_per_s_min=201), 200, False, id="rate-below"),
        pytest.param(Limits(memory_mb_max=150), 150, True, id="memory-at-the-limit"),
        pytest.param(Limits(memory_mb_max=149), 150, False, id="memory-above"),
        pytest.param(Limits(memory_slope_mb_per_minute_max=0.5), 0.5, True, id="level-memory"),
        pytest.param(Limits(memory_slope_mb_per_minute_max=0.4), 0.5, False, id="growing-memory"),
    ],
)
def test_a_limit_of_the_whole_run_is_kept_or_not(
    limits: Limits, measured: float, is_kept: bool
) -> None:
    load = run(dead_letters=3, bulk=figures(failures=10), small=figures(shed=20))
    (check,) = thresholds.check(load, limits)
    assert (check.measured, check.is_kept) == (measured, is_kept)


def test_latency_is_checked_for_each_kind_that_was_sent() -> None:
    limits = Limits(latency_ms={"bulk": Latency(10, 19), "gzip": Latency(1, 1)})
    checks = thresholds.check(run(bulk=figures(), small=figures()), limits)
    assert checks == [Check("bulk p95 ms", 10, 10), Check("bulk p99 ms", 20, 19)]
    assert [each.is_kept for each in checks] == [True, False]


def test_nothing_is_checked_without_limits() -> None:
    assert thresholds.check(run(bulk=figures(failures=100)), Limits()) == []


def test_a_run_without_posts_has_no_rate() -> None:
    (check,) = thresholds.check(run(), Limits(documents_per_s_min=1))
    assert not check.is_kept


def test_a_shape_replaces_single_limits(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        error_ratio_max = 0.0
        shed_ratio_max = 0.0
        [latency_ms]
        bulk = { p95 = 10, p99 = 20 }
        small = { p95 = 1, p99 = 2 }
        [shapes.spike]
        shed_ratio_max = 0.5
        latency_ms.bulk = { p95 = 100, p99 = 200 }
        """,
    )
    loaded = thresholds.load(path)
    assert loaded.limits("ramp").shed_ratio_max == 0.0
    assert loaded.limits("spike") == Limits(
        error_ratio_max=0.0,
        shed_ratio_max=0.5,
        latency_ms={"bulk": Latency(100, 200), "small": Latency(1, 2)},
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("eror_ratio_max = 0", "eror_ratio_max", id="unknown-key"),
        pytest.param("[latency_ms]\nbulk = { p95 = 1 }", "p99", id="missing-figure"),
        pytest.param("[shapes.tsunami]", "tsunami", id="unknown-shape"),
        pytest.param("error_ratio_max = 'none'", "error_ratio_max", id="not-a-number"),
        pytest.param("error_ratio_max = ", "limits.toml", id="not-toml"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        thresholds.load(written(tmp_path, text))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_default_file_limits_every_shape_and_every_kind_that_is_answered(shape: Shape) -> None:
    limits = thresholds.load().limits(shape)
    assert set(limits.latency_ms) == {*KINDS, "replay"} - {"disconnect"}
    assert limits.error_ratio_max == 0
    assert limits.shed_ratio_max is not None
    assert limits.documents_per_s_min


def test_the_table_marks_what_failed() -> None:
    table = thresholds.table([Check("shed ratio", 0.5, 0.1), Check("documents/s", 9e4, 1e3, True)])
    _, shed, rate = table.splitlines()
    assert shed.split() == ["✗", "shed", "ratio", "0.5", "≤", "0.1"]
    assert rate.split() == ["✓", "documents/s", "90,000", "≥", "1,000"]


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    load = run(bulk=figures(shed=3), replay=figures(p95=1.5))
    result.write(load, tmp_path / result.FILE)
    assert result.read(tmp_path) == load
    assert result.read(tmp_path / result.FILE) == load

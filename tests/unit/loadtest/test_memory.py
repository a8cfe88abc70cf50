"""The memory of a service under load: its peak, and whether it still grows."""

from pathlib import Path

import pytest

from loadtest.memory import Sample, judged, write
from loadtest.result import Memory


def samples(*megabytes: float, every_s: float = 60) -> list[Sample]:
    return [Sample(n * every_s, int(mb * 1e6)) for n, mb in enumerate(megabytes)]


@pytest.mark.parametrize(
    ("seen", "memory"),
    [
        pytest.param(
            samples(60, 150, 160, 160, 160, 160),
            Memory(peak_mb=160, slope_mb_per_minute=0),
            id="level after the first third",
        ),
        pytest.param(
            samples(100, 102, 104, 106, 108, 110),
            Memory(peak_mb=110, slope_mb_per_minute=2),
            id="growing",
        ),
        pytest.param(
            samples(60, 150, 160, 170, every_s=5),
            Memory(peak_mb=170, slope_mb_per_minute=None),
            id="too short for a slope",
        ),
        pytest.param(samples(0, 0, 0), None, id="a system that can not tell"),
        pytest.param([], None, id="no sample"),
    ],
)
def test_judges_what_it_saw(seen: list[Sample], memory: Memory | None) -> None:
    assert judged(seen) == memory


def test_keeps_each_sample(tmp_path: Path) -> None:
    write(samples(60, 61), tmp_path / "memory.csv")
    expected = "seconds,resident_bytes\n0.0,60000000\n60.0,61000000\n"
    assert (tmp_path / "memory.csv").read_text() == expected

"""Do the pure stages still cost what they did? Against calibration loops of the same run.

    python -m profiling.regressions            compare with profiling/baselines/, exit 1 beyond 25 %
    python -m profiling.regressions --write    make what is measured now the baseline

A shared machine changes its speed while it is measured, and its memory's speed apart from its
parser's. So a slice of a stage is timed between two slices of a calibration loop of the same kind,
in CPU time of this thread; where those two disagree, the machine changed, and the slice does not
count. Compared is the median of the others' ratios. What looks slower is measured again, as
nothing but the code is slow each time.
"""

import json
import math
import platform
import statistics
import sys
import time
from pathlib import Path

from profiling.stages import Stage, Work, stages

SLICE_NS = 1_500_000
SLICES = 40
STEADY = 0.1  # how far the calibration's slices around a stage's may be apart
ATTEMPTS = 5
TOLERANCE = 1.25
BASELINES = Path(__file__).parent / "baselines"


def main() -> int:
    file = BASELINES / f"cpython-{'.'.join(platform.python_version_tuple()[:2])}.json"
    writing = "--write" in sys.argv[1:]
    baseline = json.loads(file.read_text()) if file.exists() and not writing else {}
    limits = {name: TOLERANCE * ratio for name, ratio in baseline.items()}
    ratios = {
        name: _usual_ratio(stage) if writing else _best_ratio(stage, limits.get(name, math.inf))
        for name, stage in stages().items()
    }
    if writing:
        file.write_text(json.dumps(ratios, indent=1) + "\n")
    elif not baseline:
        print(f"no baseline {file.name}: reported only")
    print(f"{'stage':<26}{'ratio':>8}{'baseline':>10}{'change':>9}")
    for name, ratio in ratios.items():
        was = baseline.get(name)
        change = f"{ratio / was - 1:+.0%}" if was else "new"
        print(f"{name:<26}{ratio:>8.3f}{was or 0:>10.3f}{change:>9}")
    slower = [name for name, ratio in ratios.items() if ratio > limits.get(name, math.inf)]
    if slower:
        print(f"slower than the baseline by more than {TOLERANCE - 1:.0%}: {', '.join(slower)}")
    return 1 if slower else 0


def _usual_ratio(stage: Stage) -> float:
    return round(statistics.median(_ratio(stage) for _ in range(2 * ATTEMPTS)), 4)


def _best_ratio(stage: Stage, limit: float) -> float:
    """The first attempt's ratio within `limit`, else the least of all attempts."""
    best = math.inf
    for _ in range(ATTEMPTS):
        best = min(best, _ratio(stage))
        if best <= limit:
            break
    return round(best, 4)


def _ratio(stage: Stage) -> float:
    """Cost of a stage in units of its calibration loop. Takes about 0.15 s on a steady machine;
    on one that is steady in no moment, what was measured counts as it is."""
    runs, reference_runs = _runs_a_slice(stage.run), _runs_a_slice(stage.like)
    steady: list[float] = []
    every: list[float] = []
    before = _time_ns(stage.like, reference_runs)
    while len(steady) < SLICES and len(every) < 5 * SLICES:
        mine = _time_ns(stage.run, runs)
        after = _time_ns(stage.like, reference_runs)
        every.append(mine / runs / ((before + after) / 2 / reference_runs))
        if abs(before - after) <= STEADY * after:
            steady.append(every[-1])
        before = after
    return statistics.median(steady or every)


def _runs_a_slice(work: Work) -> int:
    return max(1, round(SLICE_NS / min(_time_ns(work, 1) for _ in range(5))))


def _time_ns(work: Work, runs: int) -> int:
    started = time.thread_time_ns()
    for _ in range(runs):
        work()
    return time.thread_time_ns() - started


if __name__ == "__main__":
    sys.exit(main())

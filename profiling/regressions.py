"""Do the pure stages still cost what they did? Against a calibration loop of the same run.

    python -m profiling.regressions            compare with profiling/baselines/, exit 1 beyond 25 %
    python -m profiling.regressions --write    make what is measured now the baseline

Stage and calibration are timed in turn, in CPU time of this thread; the least of many rounds of
each is taken, since other work on the machine only ever adds. Their ratio is what is compared.
"""

import json
import platform
import sys
import time
from pathlib import Path

from profiling.stages import Stage, calibration, stages

ROUNDS = 60
TOLERANCE = 1.25
BASELINES = Path(__file__).parent / "baselines"


def main() -> int:
    file = BASELINES / f"cpython-{'.'.join(platform.python_version_tuple()[:2])}.json"
    ratios = _measure()
    if "--write" in sys.argv[1:]:
        file.write_text(json.dumps(ratios, indent=1) + "\n")
    baseline = json.loads(file.read_text()) if file.exists() else {}
    if not baseline:
        print(f"no baseline {file.name}: reported only")
    slower = [name for name, ratio in ratios.items() if ratio > TOLERANCE * baseline.get(name, 9e9)]
    print(f"{'stage':<26}{'ratio':>8}{'baseline':>10}{'change':>9}")
    for name, ratio in ratios.items():
        was = baseline.get(name)
        change = f"{ratio / was - 1:+.0%}" if was else "new"
        print(f"{name:<26}{ratio:>8.3f}{was or 0:>10.3f}{change:>9}")
    if slower:
        print(f"slower than the baseline by more than {TOLERANCE - 1:.0%}: {', '.join(slower)}")
    return 1 if slower else 0


def _measure() -> dict[str, float]:
    reference = calibration()
    return {name: _ratio(stage, reference) for name, stage in stages().items()}


def _ratio(stage: Stage, reference: Stage) -> float:
    mine = theirs = float("inf")
    for _ in range(ROUNDS):
        theirs = min(theirs, _time(reference))
        mine = min(mine, _time(stage))
    return round(mine / theirs, 4)


def _time(stage: Stage) -> float:
    started = time.thread_time_ns()
    stage()
    return (time.thread_time_ns() - started) / 1e9


if __name__ == "__main__":
    sys.exit(main())

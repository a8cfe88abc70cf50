"""Two runs side by side: what changed, and whether it got worse.

    python -m loadtest.compare loadtest/results/BEFORE loadtest/results/AFTER

Exits with 1 where a figure is worse by more than `--tolerance` and, for latencies, by more than
`--least-ms` (locust rounds to two digits). What differs in configuration is shown first, since
figures of different machines, shapes or settings say little about the code.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from loadtest import result
from loadtest.result import Result, legible

TOLERANCE = 0.25  # of one run against the next of the same code, on a shared machine
LEAST_MS = 10.0
_EXPECTED_TO_DIFFER = ("started", "commit")


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of both runs. `least` is how much it must change to count, in its own unit."""

    name: str
    before: float
    after: float
    higher_is_better: bool = False
    least: float = 0.0

    @property
    def ratio(self) -> float | None:
        return self.after / self.before if self.before else None

    def is_worse(self, tolerance: float) -> bool:
        loss = self.before - self.after if self.higher_is_better else self.after - self.before
        return loss > max(self.least, self.before * tolerance)


def differences(before: Result, after: Result, least_ms: float = LEAST_MS) -> list[Difference]:
    """Figures of the whole run, then the latencies of each kind that both runs sent."""
    return [*_overall(before, after), *_latencies(before, after, least_ms)]


def table(differences: Sequence[Difference], tolerance: float) -> str:
    lines = [f"{'':<2}{'':<20}{'before':>12}{'after':>12}{'ratio':>8}"]
    for each in differences:
        mark = "✗" if each.is_worse(tolerance) else ""
        ratio = "" if each.ratio is None else f"{each.ratio:.2f}"
        figures = f"{legible(each.before):>12}{legible(each.after):>12}"
        lines.append(f"{mark:<2}{each.name:<20}{figures}{ratio:>8}")
    return "\n".join(lines)


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """One line for each part of the configuration that is not the same."""
    names = dict.fromkeys([*before, *after])
    return [
        f"{name}: {before.get(name)} → {after.get(name)}"
        for name in names
        if name not in _EXPECTED_TO_DIFFER and before.get(name) != after.get(name)
    ]


def _overall(before: Result, after: Result) -> Iterator[Difference]:
    yield Difference("documents/s", before.documents_per_s, after.documents_per_s, True)
    yield Difference("error ratio", before.error_ratio, after.error_ratio)
    yield Difference("shed ratio", before.shed_ratio, after.shed_ratio)
    yield Difference("faults", len(before.faults), len(after.faults))
    if before.memory is not None and after.memory is not None:
        yield Difference("memory MB", before.memory.peak_mb, after.memory.peak_mb)


def _latencies(before: Result, after: Result, least_ms: float) -> Iterator[Difference]:
    for kind, figures in before.kinds.items():
        others = after.kinds.get(kind)
        if others is not None:
            for name in ("p50_ms", "p95_ms", "p99_ms"):
                old, new = getattr(figures, name), getattr(others, name)
                yield Difference(f"{kind} {name[:3]} ms", old, new, least=least_ms)


def main() -> int:
    arguments = _arguments()
    try:
        before, after = result.read(arguments.before), result.read(arguments.after)
    except (OSError, msgspec.DecodeError) as error:
        print(error, file=sys.stderr)
        return 2
    configurations = [_configuration(path) for path in (arguments.before, arguments.after)]
    for line in changed_settings(*configurations):
        print(f"not the same: {line}")
    found = differences(before, after, arguments.least_ms)
    print(table(found, arguments.tolerance))
    return int(any(each.is_worse(arguments.tolerance) for each in found))


def _configuration(path: Path) -> dict[str, Any]:
    file = (path if path.is_dir() else path.parent) / "configuration.json"
    content: dict[str, Any] = json.loads(file.read_bytes()) if file.exists() else {}
    return content


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("before", type=Path, help="a folder of results, or a result.json")
    add("after", type=Path)
    add("--tolerance", type=float, default=TOLERANCE, help="0.25: a quarter worse")
    add("--least-ms", type=float, default=LEAST_MS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""The service's memory during a run, as its `/status` tells: sampled, kept as CSV, judged."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.result import Memory

SAMPLE_S = 5.0
SLOPE_FROM = 1 / 3  # of the run: until then buffers, caches and pools grow to their size
SLOPE_SECONDS_MIN = 180.0  # of what is left


@dataclass(frozen=True, slots=True)
class Sample:
    """At so many seconds of the run, the resident bytes of the largest worker."""

    at_s: float
    resident_bytes: int


def judged(samples: Sequence[Sample]) -> Memory | None:
    """None where there is nothing to judge: no samples, or a service that can't tell."""
    if not any(sample.resident_bytes for sample in samples):
        return None
    return Memory(peak_mb=round(max(map(_mb, samples)), 1), slope_mb_per_minute=_slope(samples))


def _slope(samples: Sequence[Sample]) -> float | None:
    end_s = samples[-1].at_s
    later = [sample for sample in samples if sample.at_s >= end_s * SLOPE_FROM]
    if later[-1].at_s - later[0].at_s < SLOPE_SECONDS_MIN:
        return None
    minutes = [sample.at_s / 60 for sample in later]
    return round(statistics.linear_regression(minutes, [_mb(each) for each in later]).slope, 3)


def write(samples: Sequence[Sample], path: Path) -> None:
    rows = (f"{sample.at_s:.1f},{sample.resident_bytes}" for sample in samples)
    path.write_text("\n".join(["seconds,resident_bytes", *rows, ""]))


def _mb(sample: Sample) -> float:
    return sample.resident_bytes / 1e6

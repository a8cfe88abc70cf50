"""Limits that a run must keep, from a TOML file; without one that is given, `thresholds.toml`.

Accounting is no threshold: a document that is not accounted for fails every run.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loadtest.result import Memory, Result, legible
from loadtest.shapes import Shape

DEFAULT_FILE = Path(__file__).with_name("thresholds.toml")


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Milliseconds that 95 and 99 percent of the posts of one kind may take."""

    p95: float
    p99: float


class Limits(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is None is not looked at. Ratios are of posts, from 0 to 1."""

    error_ratio_max: float | None = None
    shed_ratio_max: float | None = None
    dead_letters_max: int | None = None
    documents_per_s_min: float | None = None
    memory_mb_max: float | None = None
    memory_slope_mb_per_minute_max: float | None = None
    latency_ms: dict[str, Latency] = {}


class Thresholds(Limits, frozen=True, forbid_unknown_fields=True):
    """Limits for every shape; those under `shapes` replace them, one by one."""

    shapes: dict[Shape, Limits] = {}

    def limits(self, shape: str) -> Limits:
        special = next((limits for name, limits in self.shapes.items() if name == shape), Limits())
        chosen = {
            name: getattr(self, name) if getattr(special, name) is None else getattr(special, name)
            for name in Limits.__struct_fields__
        }
        chosen["latency_ms"] = {**self.latency_ms, **special.latency_ms}
        return Limits(**chosen)


@dataclass(frozen=True, slots=True)
class Check:
    """One limit, and how it went."""

    name: str
    measured: float
    limit: float
    is_minimum: bool = False

    @property
    def is_kept(self) -> bool:
        return self.measured >= self.limit if self.is_minimum else self.measured <= self.limit


def load(path: Path = DEFAULT_FILE) -> Thresholds:
    """Raises ValueError naming file and key."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Thresholds)
    except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error


def check(result: Result, limits: Limits) -> list[Check]:
    """Every limit that was given, in the order of the file; latencies of kinds that were sent."""
    return [*_overall(result, limits), *_latencies(result, limits)]


def table(checks: Sequence[Check]) -> str:
    """All checks, those that failed with a cross."""
    lines = [f"{'':<2}{'threshold':<24}{'measured':>14}    limit"]
    for each in checks:
        mark, relation = ("✓", "✗")[not each.is_kept], ("≤", "≥")[each.is_minimum]
        measured, limit = map(legible, (each.measured, each.limit))
        lines.append(f"{mark:<2}{each.name:<24}{measured:>14}  {relation} {limit}")
    return "\n".join(lines)


def _overall(result: Result, limits: Limits) -> Iterator[Check]:
    dead_letters = result.service.get("dead_letter", 0)
    if limits.error_ratio_max is not None:
        yield Check("error ratio", result.error_ratio, limits.error_ratio_max)
    if limits.shed_ratio_max is not None:
        yield Check("shed ratio", result.shed_ratio, limits.shed_ratio_max)
    if limits.dead_letters_max is not None:
        yield Check("dead letters", dead_letters, limits.dead_letters_max)
    if limits.documents_per_s_min is not None:
        yield Check("documents/s", result.documents_per_s, limits.documents_per_s_min, True)
    if result.memory is not None:
        yield from _memory(result.memory, limits)


def _memory(memory: Memory, limits: Limits) -> Iterator[Check]:
    if limits.memory_mb_max is not None:
        yield Check("memory MB", memory.peak_mb, limits.memory_mb_max)
    slope, limit = memory.slope_mb_per_minute, limits.memory_slope_mb_per_minute_max
    if slope is not None and limit is not None:
        yield Check("memory MB a minute", slope, limit)


def _latencies(result: Result, limits: Limits) -> Iterator[Check]:
    for kind, limit in limits.latency_ms.items():
        figures = result.kinds.get(kind)
        if figures is not None and figures.posts:
            yield Check(f"{kind} p95 ms", figures.p95_ms, limit.p95)
            yield Check(f"{kind} p99 ms", figures.p99_ms, limit.p99)

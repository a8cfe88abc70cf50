"""What a run measured, as it is kept in `result.json`."""

from pathlib import Path

import msgspec

FILE = "result.json"


class Figures(msgspec.Struct, kw_only=True, frozen=True):
    """One kind of producer. Latencies are those of posts that were not shed, in milliseconds."""

    posts: int
    failures: int
    shed: int
    pending: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    documents: int
    received: int
    accepted: int
    rejected: int
    trimmed: int
    unanswered: int


class Memory(msgspec.Struct, kw_only=True, frozen=True):
    """Resident memory of the largest worker; the slope leaves the first third of the run out.

    A run of less than five minutes is too short for a slope.
    """

    peak_mb: float
    slope_mb_per_minute: float | None


class Result(msgspec.Struct, kw_only=True, frozen=True):
    """A whole run. `service` is what it added to the service's counts, `faults` what is wrong."""

    shape: str
    users: int
    seconds: float
    kinds: dict[str, Figures]
    service: dict[str, int]
    faults: list[str]
    memory: Memory | None = None  # of a service that tells

    @property
    def documents_per_s(self) -> float:
        accepted = sum(figures.accepted for figures in self.kinds.values())
        return accepted / self.seconds if self.seconds else 0.0

    @property
    def posts(self) -> int:
        return sum(figures.posts for figures in self.kinds.values())

    @property
    def error_ratio(self) -> float:
        return self._share(sum(figures.failures for figures in self.kinds.values()))

    @property
    def shed_ratio(self) -> float:
        return self._share(sum(figures.shed for figures in self.kinds.values()))

    def _share(self, count: int) -> float:
        return count / self.posts if self.posts else 0.0


def write(result: Result, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def read(path: Path) -> Result:
    """From a folder of results or the file itself; raises OSError or msgspec.DecodeError."""
    file = path / FILE if path.is_dir() else path
    return msgspec.json.decode(file.read_bytes(), type=Result)


def legible(figure: float) -> str:
    """With as many digits as a reader wants."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.4g}"

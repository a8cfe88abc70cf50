"""What a load measured, and the table of many."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Row:
    """One load with bodies of `size` documents; `_us` is microseconds of CPU a document.

    `ack` is empty for another service; `parse_us` is what one `orjson.loads` took meanwhile.
    """

    name: str
    ack: str
    size: int
    documents: int
    user_us: float
    system_us: float
    parse_us: float
    supervisor_us: float
    documents_per_s: float
    posts_per_s: float
    p50_ms: float
    p99_ms: float
    peak_mb: float
    shed: int
    faults: list[str]

    @property
    def cpu_us(self) -> float:
        return self.user_us + self.system_us

    @property
    def parses(self) -> float:
        """CPU a document in units of its parsing."""
        return self.cpu_us / self.parse_us if self.parse_us else 0.0

    @property
    def busy_percent(self) -> float:
        """Of one core; well below 100 the load, or others on the machine, set documents/s."""
        return self.cpu_us * self.documents_per_s / 1e4


# heading, attribute, format
_COLUMNS = (
    ("µs CPU/doc", "cpu_us", ".2f"),
    ("× parse", "parses", ".2f"),
    ("parse", "parse_us", ".2f"),
    ("user", "user_us", ".2f"),
    ("system", "system_us", ".2f"),
    ("supervisor", "supervisor_us", ".3f"),
    ("busy %", "busy_percent", ".0f"),
    ("docs/s", "documents_per_s", ",.0f"),
    ("posts/s", "posts_per_s", ",.0f"),
    ("p50 ms", "p50_ms", ".2f"),
    ("p99 ms", "p99_ms", ".2f"),
    ("peak MB", "peak_mb", ".0f"),
    ("shed", "shed", ".0f"),
)


def table(rows: Sequence[Row]) -> str:
    """Medians over the loads of each service, body size and ack level."""
    width = max(len(row.name) for row in rows)
    heads = "".join(f"{head:>11}" for head, _, _ in _COLUMNS)
    lines = [f"{'':<{width}} {'ack':<8}{'docs/body':>10}{heads}"]
    for kind in dict.fromkeys((row.name, row.ack, row.size) for row in rows):
        same = [row for row in rows if (row.name, row.ack, row.size) == kind]
        cells = [
            f"{statistics.median(getattr(row, attribute) for row in same):>11{style}}"
            for _, attribute, style in _COLUMNS
        ]
        name, ack, size = kind
        lines.append(f"{name:<{width}} {ack:<8}{size:>10,}" + "".join(cells))
    return "\n".join(lines)

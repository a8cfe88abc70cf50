"""What came of a load, and what it says in the end."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """`accepted` is the sum of what the answers say; a shed post was refused for want of room."""

    posts: int = 0
    accepted: int = 0
    shed: int = 0
    seconds: float = 0.0
    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, object]:
        """For machines: rates over the whole load, latencies of the posts accepted in whole."""
        ordered = sorted(self.latencies_s)
        return {
            "documents": self.accepted,
            "posts": self.posts,
            "seconds": round(self.seconds, 4),
            "documents_per_s": round(self.accepted / self.seconds) if self.seconds else 0,
            "posts_per_s": round(self.posts / self.seconds) if self.seconds else 0,
            "latency_ms": {f"p{share}": percentile_ms(ordered, share) for share in (50, 90, 99)},
            "shed": self.shed,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "errors": dict(self.errors),
        }


def percentile_ms(ordered_s: Sequence[float], share: int) -> float:
    """The smallest value that `share` percent do not exceed; 0.0 of nothing."""
    if not ordered_s:
        return 0.0
    rank = -(-len(ordered_s) * share // 100)  # rounded up
    return round(ordered_s[max(rank, 1) - 1] * 1000, 3)

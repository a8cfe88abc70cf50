"""Log lines that would come again and again: the first of a kind at once, then one an interval.

What is not shown is counted, and stands in the next line of its kind.
"""

from collections import Counter
from collections.abc import Callable

INTERVAL_S = 10.0
KINDS_MAX = 50  # they may come from data
_OTHER = "other"


class Repeats:
    """Says when a line may be written, and how many things it stands for; it writes none itself."""

    def __init__(self, clock: Callable[[], float], interval_s: float = INTERVAL_S):
        self._clock = clock
        self._interval_s = interval_s
        self._quiet_until: dict[str, float] = {}
        self._untold: Counter[str] = Counter()

    def add(self, kind: str, count: int = 1) -> None:
        """Something happened; `due` says when to tell."""
        is_new = kind not in self._quiet_until
        if is_new and len(self._quiet_until) >= KINDS_MAX:
            kind = _OTHER
        self._quiet_until.setdefault(kind, self._clock())
        self._untold[kind] += count

    def due(self, *, is_end: bool = False) -> list[tuple[str, int]]:
        """The kinds to be told now, with what they add up to; at the end all that are left."""
        now = self._clock()
        kinds = [kind for kind in self._untold if is_end or self._quiet_until[kind] <= now]
        for kind in kinds:
            self._quiet_until[kind] = now + self._interval_s
        return [(kind, self._untold.pop(kind)) for kind in kinds]

"""How long to wait before the next attempt: full jitter, so that many who failed together do not
come back together (source: Amazon Builders' Library, "Timeouts, retries and backoff with jitter").
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Backoff:
    """`random` gives a float in [0, 1)."""

    initial_s: float
    max_s: float
    random: Callable[[], float]

    def pause_s(self, attempts: int) -> float:
        """The pause after so many failed attempts (1 for the first)."""
        ceiling = min(self.max_s, self.initial_s * 2.0 ** min(attempts - 1, 30))
        return ceiling * self.random()

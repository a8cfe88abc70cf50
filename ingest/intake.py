"""One request's documents: what was received of them, what was refused, and who waits to hear.

An intake outlives its request: its documents may still be in memory after the answer, and it is
what tells under which label they count.
"""

from collections.abc import Callable, Sequence

from ingest.answers import ITEMS_MAX
from ingest.model import Ack, Rejection
from ingest.parser import RouteDocument


class Intake:
    """The receipt for the documents of one request."""

    __slots__ = (
        "_on_settled",
        "ack",
        "acked",
        "failures",
        "in_memory",
        "is_read",
        "received",
        "rejected",
        "route",
        "trimmed",
    )

    def __init__(self, ack: Ack, route: RouteDocument):
        self.ack = ack
        self.route = route
        self.received = 0  # = the next document's position
        self.rejected = 0
        self.trimmed = 0
        self.failures: list[Rejection] = []
        self.in_memory = 0
        self.acked = False
        self.is_read = False
        self._on_settled: Callable[[], None] | None = None

    @property
    def accepted(self) -> int:
        return self.received - self.rejected

    def reject(self, rejections: Sequence[Rejection]) -> None:
        self.rejected += len(rejections)
        room = ITEMS_MAX + 1 - len(self.failures)
        self.failures.extend(rejections[: max(room, 0)])

    def when_settled(self, callback: Callable[[], None] | None) -> None:
        """Call back once when every document has its outcome; None stops waiting."""
        self._on_settled = callback
        self._tell_if_settled()

    def settle(self, count: int) -> None:
        self.in_memory -= count
        self._tell_if_settled()

    def fail(self, rejection: Rejection) -> None:
        if self.ack == "indexed" and len(self.failures) <= ITEMS_MAX:
            self.failures.append(rejection)
        self.settle(1)

    def _tell_if_settled(self) -> None:
        if not self.in_memory and self.is_read and self._on_settled is not None:
            callback, self._on_settled = self._on_settled, None
            callback()

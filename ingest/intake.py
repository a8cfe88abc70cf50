"""One request's documents: what was received of them, what was refused, and who waits to hear.

An intake outlives its request: its documents may still be in memory after the answer, and it is
what tells under which label they count.
"""

from collections.abc import Callable, Sequence

from ingest.errors import RequestError
from ingest.model import Ack, Rejection
from ingest.parser import RouteDocument

LISTED_MAX = 1000  # failures that an answer lists; beyond, it says that there are more


class Intake:
    """The receipt for the documents of one request."""

    __slots__ = (
        "_on_done",
        "ack",
        "acked",
        "committed",
        "committed_position",
        "error",
        "failures",
        "in_memory",
        "is_read",
        "key",
        "received",
        "rejected",
        "route",
        "trimmed",
        "uncommitted",
    )

    def __init__(self, ack: Ack, route: RouteDocument, key: bytes | None = None):
        self.ack = ack
        self.route = route
        self.key = key  # the prefix of its documents' ids, where the producer named the request
        self.received = 0  # = the next document's position
        self.rejected = 0
        self.trimmed = 0
        self.failures: list[Rejection] = []
        self.in_memory = 0  # without an outcome
        self.uncommitted = 0  # handed to the spool, and not known to be on disk
        self.committed = 0
        self.committed_position = 0  # behind the last document that is known to be on disk
        self.error: RequestError | None = None  # why the ack that was asked for can't be given
        self.acked = False
        self.is_read = False
        self._on_done: Callable[[], None] | None = None

    @property
    def accepted(self) -> int:
        return self.received - self.rejected

    @property
    def listed_failures(self) -> list[Rejection]:
        """In the order of the body, whichever was known first."""
        if not self.failures:
            return self.failures
        return sorted(self.failures, key=lambda failure: failure.position)

    @property
    def is_done(self) -> bool:
        """Whether what the ack level asks for has come true, or can't any more."""
        if not self.is_read:
            return False
        if self.ack == "durable":
            return not self.uncommitted
        return self.ack == "memory" or not self.in_memory

    def reject(self, rejections: Sequence[Rejection]) -> None:
        self.rejected += len(rejections)
        room = LISTED_MAX + 1 - len(self.failures)
        self.failures.extend(rejections[: max(room, 0)])

    def when_done(self, callback: Callable[[], None] | None) -> None:
        """Call back once, at once if it is done already; None stops waiting."""
        self._on_done = callback
        self._tell_if_done()

    def commit(self, positions: Sequence[int], error: RequestError | None) -> None:
        """These documents are on disk, or could not be brought there; called in their order."""
        self.uncommitted -= len(positions)
        self.error = self.error or error
        if self.error is None:
            self.committed += len(positions)
            self.committed_position = positions[-1] + 1
        self._tell_if_done()

    def settle(self, count: int) -> None:
        self.in_memory -= count
        self._tell_if_done()

    def fail(self, rejection: Rejection) -> None:
        if self.ack == "indexed" and len(self.failures) <= LISTED_MAX:
            self.failures.append(rejection)
        self.settle(1)

    def _tell_if_done(self) -> None:
        if self._on_done is not None and self.is_done:
            callback, self._on_done = self._on_done, None
            callback()


class NoIntake:
    """The receipt for documents whose request was answered by an earlier process."""

    acked = True

    def settle(self, count: int) -> None:
        """Nobody waits."""

    def fail(self, rejection: Rejection) -> None:
        """The dead letter tells."""

"""The values that travel between the stages. Plain, slotted, no behaviour but small derivations.

Lists of these are made per window or per failing item, never per healthy document: a dataclass
a document costs 0.95 µs, a third of the whole budget.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from ingest.errors import DocumentRefused

Ack = Literal["memory", "durable", "indexed"]
Action = Literal["create", "index"]
IdMode = Literal["assigned", "own", "elasticsearch"]


@dataclass(slots=True, frozen=True, eq=False)
class Target:
    """Where a document goes, with its action line prepared.

    `head` holds the action line's bytes: for `id_mode` "assigned" up to and including `"_id":"`
    (the encoder completes it with an id and `"}}`), else the complete line with its line break.
    "own" means that the line was made for one document only (its id or shard routing is in it).
    Targets are compared by identity: the router makes one a name and keeps it.
    """

    name: str
    action: Action
    id_mode: IdMode
    head: bytes
    adds_timestamp: bool = False
    trims_short_lines: bool = False


@dataclass(slots=True, frozen=True)
class Rejection:
    """A document that was refused: `position` counts from 0 over the body's non-blank lines."""

    position: int
    type: str
    reason: str
    status: int = 400


def rejection_of(refusal: DocumentRefused, position: int) -> Rejection:
    """The value that a refusal becomes where it is caught."""
    return Rejection(position, refusal.type, refusal.reason, refusal.status)


class Receipt(Protocol):
    """Whoever must hear what became of the documents of one request.

    `acked` says whether the producer has been answered, which decides under which label they
    count if this process is killed.
    """

    acked: bool

    def settle(self, count: int) -> None:
        """So many documents more have their outcome."""

    def fail(self, rejection: Rejection) -> None:
        """Elasticsearch refused this document for good; it is a dead letter, and settled."""

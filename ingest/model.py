"""The values that travel between the stages. Plain, slotted, no behaviour but small derivations.

Lists of these are made per window or per failing item, never per healthy document: a dataclass
a document costs 0.95 µs, a third of the whole budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Ack = Literal["memory", "durable", "indexed"]
Action = Literal["create", "index"]
IdMode = Literal["assigned", "own", "elasticsearch"]


@dataclass(slots=True, frozen=True)
class Target:
    """Where a document goes, with its action line prepared.

    `head` holds the action line's bytes: for `id_mode` "assigned" up to and including `"_id":"`
    (the encoder completes it with an id and `"}}`), else the complete line with its line break.
    "own" means that the line was made for one document only (its id or shard routing is in it).
    """

    name: str
    action: Action
    id_mode: IdMode
    head: bytes
    adds_timestamp: bool = False


@dataclass(slots=True, frozen=True)
class Rejection:
    """A document that was refused: `position` counts from 0 over the body's non-blank lines."""

    position: int
    type: str
    reason: str
    status: int = 400


class Receipt(Protocol):
    """Whoever waits to hear what became of the documents of one request (`ack=indexed`)."""

    def settle(self, positions: Sequence[int]) -> None:
        """These documents are indexed (or were already there)."""

    def fail(self, rejection: Rejection) -> None:
        """This document was refused by Elasticsearch for good."""


@dataclass(slots=True)
class Chunk:
    """Encoded bulk NDJSON: `count` documents, two lines each, in `data`.

    `sequences` numbers them within this worker's life (a `range` for a fresh chunk, a list for
    what is left of one after a partial failure); `positions` are their places in the request's
    body, kept only while a `receipt` waits for them.
    """

    data: bytes
    count: int
    sequences: Sequence[int]
    positions: Sequence[int] = ()
    receipt: Receipt | None = None
    attempts: int = 0

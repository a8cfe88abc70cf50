"""The unit that is spooled, batched, sent, settled: encoded documents of a window of a body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ingest.model import Receipt

OVERHEAD_BYTES = 1024  # chunk, lot, intake, record, their places in lists: 0.9 KB measured


class Keeper(Protocol):
    """A spool, or what is left of one, that keeps documents until they are settled."""

    def settle(self, sequences: Sequence[int]) -> None: ...


@dataclass(slots=True, eq=False)
class Lot:
    """The documents of one fresh chunk, accounted for together whatever becomes of its parts.

    While `is_spooled` they count as spooled, else as in memory. `keeper` must hear of each that
    is settled.
    """

    receipt: Receipt
    unsettled: int
    keeper: Keeper | None = None
    is_spooled: bool = False


@dataclass(slots=True)
class Chunk:
    """Encoded bulk NDJSON: `count` documents, two lines each, in `bulk`.

    `overhead_bytes` are what its objects take, which for small posts is more than the documents.

    `sequences` number them in their spool (unused where nothing keeps them), `positions` in the
    request's body; `originals` holds what the producer sent, by index, of the few that were
    trimmed. What is left of a chunk after a partial failure is a new Chunk of the same Lot.
    `is_settled`: its documents are counted, all but those of that new Chunk.
    """

    bulk: bytes
    count: int
    lot: Lot
    sequences: Sequence[int]
    positions: Sequence[int]
    attempts: int = 0
    originals: Mapping[int, bytes] = field(default_factory=dict)
    is_settled: bool = False
    overhead_bytes: int = OVERHEAD_BYTES

    @property
    def held_bytes(self) -> int:
        """What it takes of the pending bytes."""
        held = len(self.bulk) + self.overhead_bytes
        return held + sum(map(len, self.originals.values())) if self.originals else held


def pairs(bulk: bytes) -> list[bytes]:
    """Bulk NDJSON as one piece a document: its action line and source line together."""
    lines = bulk.split(b"\n")
    return [b"%b\n%b\n" % pair for pair in zip(lines[0::2], lines[1::2], strict=False)]


def part(chunk: Chunk, indices: Sequence[int], attempts: int) -> Chunk:
    """A chunk of only these documents of `chunk`, in order."""
    documents = pairs(chunk.bulk)
    return Chunk(
        b"".join(documents[i] for i in indices),
        len(indices),
        chunk.lot,
        [chunk.sequences[i] for i in indices],
        [chunk.positions[i] for i in indices],
        attempts,
        originals={
            new: chunk.originals[old] for new, old in enumerate(indices) if old in chunk.originals
        },
        overhead_bytes=chunk.overhead_bytes,
    )


def halve(chunk: Chunk) -> tuple[Chunk, Chunk]:
    """A chunk of at least two documents as two."""
    middle = chunk.count // 2
    first = part(chunk, range(middle), chunk.attempts)
    second = part(chunk, range(middle, chunk.count), chunk.attempts)
    second.overhead_bytes = 0  # together they hold what the chunk did
    return first, second

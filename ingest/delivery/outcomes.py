"""Where a document's way ends: each is settled here, once.

Settling means, in one turn of the loop: the ledger, the receipt of its request, and the pending
bytes that it held. What may go wrong is done before the first document of a batch is settled, and
who is told can't stop it, so that a batch that fails half-way can be sent again.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import structlog

from ingest import metrics
from ingest.backpressure import Backpressure
from ingest.chunk import Chunk, pairs, part
from ingest.delivery.bulk_response import Item
from ingest.delivery.dead_letters import DeadLetter, DeadLetters
from ingest.delivery.repeats import Repeats
from ingest.model import Rejection
from ingest.scoreboard import Scoreboard

REASON_CHARACTERS_MAX = 500
Outcome = Literal["indexed", "duplicate", "dead_letter"]
log = structlog.get_logger(__name__)


class Outcomes:
    """Settles documents of one worker."""

    def __init__(
        self,
        scoreboard: Scoreboard,
        backpressure: Backpressure,
        dead_letters: DeadLetters,
        clock: Callable[[], float],
    ):
        self._scoreboard = scoreboard
        self._backpressure = backpressure
        self._dead_letters = dead_letters
        self._dead_letters_lock = asyncio.Lock()
        self._refused = Repeats(clock)  # documents, by Elasticsearch's type of error
        self._unwritten = Repeats(clock)  # dead letters, by reason
        self._untold = Repeats(clock)  # requests, by the type of exception

    def indexed(self, chunks: Sequence[Chunk]) -> None:
        """All documents of these chunks, the common case."""
        for chunk in chunks:
            chunk.is_settled = True
            self._count(chunk, chunk.count, "indexed")
        self._scoreboard.publish()  # first: what the spool forgets must not still count as there
        for chunk in chunks:
            if chunk.lot.keeper is not None:
                chunk.lot.keeper.settle(chunk.sequences)
            self._backpressure.release(chunk.held_bytes)
            self._tell_request(chunk, chunk.count)

    async def settle(self, batch: Sequence[Chunk], items: Sequence[Item]) -> list[Chunk]:
        """What a bulk answer said: `items` are those of the batch that were not simply indexed.

        Gives back what must be sent again. A dead letter is settled only once it is on disk.
        """
        shares = _share_out(batch, items)
        letters = [letter for chunk, mine in shares for letter in _letters(chunk, mine)]
        is_kept = not letters or await self._keep(letters)
        if not is_kept:
            shares = [(chunk, [_again(item) for item in mine]) for chunk, mine in shares]
        plans = [(chunk, mine, _rest(chunk, mine)) for chunk, mine in shares]
        for chunk, mine, rest in plans:
            self._settle_chunk(chunk, mine, rest)
        return [rest for _, _, rest in plans if rest is not None]

    def tell(self, *, is_end: bool = False) -> None:
        """Log lines that are due. Refusals come by the thousand, so a line stands for many."""
        for kind, documents in self._refused.due(is_end=is_end):
            log.error(
                "elasticsearch refused documents for good; they are dead letters",
                type=kind,
                documents=documents,
            )
        for reason, letters in self._unwritten.due(is_end=is_end):
            log.error(
                "dead letters can not be written; their documents are sent again",
                reason=reason,
                documents=letters,
            )

    def _settle_chunk(self, chunk: Chunk, items: Sequence[Item], rest: Chunk | None) -> None:
        letters = [item for item in items if item.fate == "dead_letter"]
        duplicates = sum(item.fate == "duplicate" for item in items)
        stored = sum(item.fate == "failure_store" for item in items)
        rejections = [_rejection(chunk, item) for item in letters]
        chunk.is_settled = True
        indexed = chunk.count - duplicates - len(letters) - (rest.count if rest else 0)
        self._count(chunk, indexed, "indexed")
        self._count(chunk, duplicates, "duplicate")
        self._count(chunk, len(letters), "dead_letter")
        self._scoreboard.publish()
        if chunk.lot.keeper is not None:
            left = set(rest.sequences) if rest else ()
            chunk.lot.keeper.settle([each for each in chunk.sequences if each not in left])
        self._scoreboard.add(metrics.FAILURE_STORE, stored)
        self._backpressure.release(chunk.held_bytes - (rest.held_bytes if rest else 0))
        for item in letters:
            self._scoreboard.add(metrics.DEAD_LETTERS, 1, item.error_type)
        self._tell_request(chunk, indexed + duplicates, rejections)

    def _tell_request(
        self, chunk: Chunk, settled: int, rejections: Sequence[Rejection] = ()
    ) -> None:
        """It may answer its producer at once; whatever goes wrong there stays there."""
        receipt = chunk.lot.receipt
        try:
            receipt.settle(settled)
            for rejection in rejections:
                receipt.fail(rejection)
        except Exception as error:  # the documents of others wait behind this
            self._untold.add(type(error).__name__)
            for kind, requests in self._untold.due():
                log.error(
                    "producers could not be told what became of their documents",
                    error=kind,
                    times=requests,
                    exc_info=error,
                )

    async def _keep(self, letters: list[DeadLetter]) -> bool:
        try:
            async with self._dead_letters_lock:
                await asyncio.to_thread(self._dead_letters.append, letters)
        except OSError as error:
            self._unwritten.add(error.strerror or type(error).__name__, len(letters))
            self.tell()
            return False
        for letter in letters:
            self._refused.add(str(letter.error.get("type", "unknown")))
        self.tell()
        return True

    def _count(self, chunk: Chunk, count: int, outcome: Outcome) -> None:
        ledger = self._scoreboard.ledger
        setattr(ledger, outcome, getattr(ledger, outcome) + count)
        chunk.lot.unsettled -= count
        if chunk.lot.is_spooled:
            ledger.spooled -= count
        elif chunk.lot.receipt.acked:
            ledger.in_memory_acked -= count
        else:
            ledger.in_memory_unacked -= count


def _rest(chunk: Chunk, items: Sequence[Item]) -> Chunk | None:
    """What must be sent again."""
    left = [item.index for item in items if item.fate == "again"]
    return part(chunk, left, chunk.attempts + 1) if left else None


def _share_out(batch: Sequence[Chunk], items: Sequence[Item]) -> list[tuple[Chunk, list[Item]]]:
    """Each chunk with its own items, their indices counted within it."""
    shares = []
    start = taken = 0
    for chunk in batch:
        end = start + chunk.count
        mine = []
        while taken < len(items) and items[taken].index < end:
            item = items[taken]
            mine.append(Item(item.index - start, item.status, item.fate, item.error))
            taken += 1
        shares.append((chunk, mine))
        start = end
    return shares


def _letters(chunk: Chunk, items: Sequence[Item]) -> list[DeadLetter]:
    dead = [item for item in items if item.fate == "dead_letter"]
    if not dead:
        return []
    documents = pairs(chunk.bulk)
    letters = []
    for item in dead:
        action_line, sent = documents[item.index].split(b"\n", 1)
        document = chunk.originals.get(item.index, sent)
        attempts = chunk.attempts + 1
        letters.append(DeadLetter(action_line, document, item.status, item.error, attempts))
    return letters


def _rejection(chunk: Chunk, item: Item) -> Rejection:
    """For the answer; Elasticsearch's reason may repeat the whole value that it refused."""
    reason = item.reason[:REASON_CHARACTERS_MAX]
    return Rejection(chunk.positions[item.index], item.error_type, reason, item.status)


def _again(item: Item) -> Item:
    """What would be a dead letter if one could be written."""
    if item.fate != "dead_letter":
        return item
    return Item(item.index, item.status, "again", item.error)

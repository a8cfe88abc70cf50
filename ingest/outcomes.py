"""Where a document's way ends: each is settled here, once.

Settling means, in one turn of the loop: the ledger, the receipt of its request, and the pending
bytes that it held.
"""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import structlog

from ingest import metrics
from ingest.backpressure import Backpressure
from ingest.bulk_response import Item
from ingest.chunk import Chunk, pairs, part
from ingest.dead_letters import DeadLetter, DeadLetters
from ingest.model import Rejection
from ingest.scoreboard import Scoreboard

REASON_CHARACTERS_MAX = 500
Outcome = Literal["indexed", "duplicate", "dead_letter"]
log = structlog.get_logger(__name__)


class Outcomes:
    """Settles documents of one worker."""

    def __init__(
        self, scoreboard: Scoreboard, backpressure: Backpressure, dead_letters: DeadLetters
    ):
        self._scoreboard = scoreboard
        self._backpressure = backpressure
        self._dead_letters = dead_letters
        self._dead_letters_lock = asyncio.Lock()

    def indexed(self, chunks: Sequence[Chunk]) -> None:
        """All documents of these chunks, the common case."""
        for chunk in chunks:
            self._count(chunk, chunk.count, "indexed")
        self._scoreboard.publish()  # first: what the spool forgets must not still count as there
        for chunk in chunks:
            if chunk.lot.keeper is not None:
                chunk.lot.keeper.settle(chunk.sequences)
            self._backpressure.release(chunk.held_bytes)
            chunk.lot.receipt.settle(chunk.count)

    async def settle(self, batch: Sequence[Chunk], items: Sequence[Item]) -> list[Chunk]:
        """What a bulk answer said: `items` are those of the batch that were not simply indexed.

        Gives back what must be sent again. A dead letter is settled only once it is on disk.
        """
        shares = _share_out(batch, items)
        letters = [letter for chunk, mine in shares for letter in _letters(chunk, mine)]
        is_kept = not letters or await self._keep(letters)
        again = []
        for chunk, mine in shares:
            if not is_kept:
                mine = [_again(item) if item.fate == "dead_letter" else item for item in mine]
            left = [item.index for item in mine if item.fate == "again"]
            rest = part(chunk, left, chunk.attempts + 1) if left else None
            self._settle_chunk(chunk, mine, rest)
            if rest is not None:
                again.append(rest)
        return again

    def _settle_chunk(self, chunk: Chunk, items: Sequence[Item], rest: Chunk | None) -> None:
        letters = [item for item in items if item.fate == "dead_letter"]
        duplicates = sum(item.fate == "duplicate" for item in items)
        stored = sum(item.fate == "failure_store" for item in items)
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
        receipt = chunk.lot.receipt
        receipt.settle(indexed + duplicates)
        for item in letters:
            self._scoreboard.add(metrics.DEAD_LETTERS, 1, item.error_type)
            receipt.fail(_rejection(chunk, item))

    async def _keep(self, letters: list[DeadLetter]) -> bool:
        try:
            async with self._dead_letters_lock:
                await asyncio.to_thread(self._dead_letters.append, letters)
        except OSError as error:
            log.error("dead letters can not be written; they are tried again", reason=str(error))
            return False
        for kind, same in groupby(sorted(str(each.error.get("type")) for each in letters)):
            log.error(
                "elasticsearch refused documents for good; they are dead letters",
                type=kind,
                documents=len(list(same)),
            )
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
    return Item(item.index, item.status, "again", item.error)

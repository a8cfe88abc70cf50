"""Owns what happens between a batch and the outcome of each of its documents.

    answer                         what is done
    200, all items indexed         settled without parsing the answer
    200, some items failed         settled item by item; what failed is sent again, after a pause
    413                            halved; one document alone is a dead letter
    400 for the whole request      bisected to the one bad document; that is a dead letter
                                   (if Elasticsearch says it: a proxy's 400 counts as no answer)
    anything else, or no answer    the whole batch again, after a pause, for as long as it takes
    a mistake of ours              what is not settled again, after pauses of its own; by halves, so
                                   that what it fails with does not keep the others

There is no attempt limit: a 429 or a time-out does not prove that nothing was indexed, and the
assigned `_id`s make a repeat harmless. What waits here counts as pending bytes, so an outage turns
into backpressure, not into loss. A retried part waits outside of the `max_in_flight` places.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from ingest import metrics
from ingest.chunk import Chunk, halve
from ingest.delivery.backoff import Backoff
from ingest.delivery.bulk_response import (
    Item,
    UnreadableAnswer,
    is_flawless,
    read_error,
    read_items,
)
from ingest.delivery.cluster import Answer, Unanswered
from ingest.delivery.outcomes import Outcomes
from ingest.delivery.repeats import Repeats
from ingest.scoreboard import Scoreboard

log = structlog.get_logger(__name__)


class Bulk(Protocol):
    """Sends one bulk request."""

    async def bulk(self, chunks: Sequence[bytes]) -> Answer:
        """Raises Unanswered."""

    async def answers(self) -> bool:
        """Whether the cluster answers at all: a small question, before a batch is tried. False,
        too, where somebody else has just asked."""


class BulkWriter:
    """Sends batches, `max_in_flight` at a time, until each document has its outcome."""

    def __init__(
        self,
        client: Bulk,
        outcomes: Outcomes,
        scoreboard: Scoreboard,
        backoff: Backoff,
        *,
        max_in_flight: int,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ):
        self._client = client
        self._outcomes = outcomes
        self._scoreboard = scoreboard
        self._backoff = backoff
        self._clock = clock
        self._sleep = sleep
        self._places = asyncio.Semaphore(max_in_flight)
        self._prober = asyncio.Lock()
        self._failures = 0  # whole requests in a row that came back with nothing
        self._pauses = 0  # since the first of them: those that failed together count as one
        self._in_flight = 0
        self._deliveries: set[asyncio.Task[None]] = set()
        self._mistakes = Repeats(clock)

    def send(self, batch: list[Chunk]) -> None:
        """Take over a batch. What is taken over and unsettled is bounded by the pending bytes."""
        self._start(self._deliver(batch))

    @property
    def is_busy(self) -> bool:
        """Whether something that was taken over is not settled."""
        return bool(self._deliveries)

    @property
    def is_failing(self) -> bool:
        """Whether the last requests came back with nothing."""
        return self._failures > 0

    async def cancel(self) -> None:
        """Give up what is not settled; the ledger knows how much that is."""
        for delivery in self._deliveries:
            delivery.cancel()
        if self._deliveries:
            await asyncio.wait(self._deliveries)

    def _start(self, delivery: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(delivery)
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, batch: list[Chunk], mistakes: int = 0) -> None:
        """Send until there is an answer that says what became of the documents.

        They are accepted: no mistake of ours may lose them, however often it comes again.
        """
        while batch:
            try:
                if await self._try(batch):
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, nothing may be lost
                mistakes += 1
                self._note_mistake(error, mistakes, batch)
                batch = [chunk for chunk in batch if not chunk.is_settled]
                await self._sleep(self._backoff.pause_s(mistakes))
                if mistakes > 1 and len(batch) > 1:
                    for half in _halves(batch):
                        self._start(self._deliver(half, mistakes))
                    return

    async def _try(self, batch: list[Chunk]) -> bool:
        """Whether there was such an answer."""
        answer = await self._attempt(batch)
        if answer is None:
            return False
        if answer.status == 200:
            return await self._settle(batch, answer)
        if len(batch) == 1 and batch[0].count == 1:
            await self._refuse(batch[0], answer)
            return True
        for half in _halves(batch):
            await self._deliver(half)
        return True

    async def _attempt(self, batch: list[Chunk]) -> Answer | None:
        """One attempt; None when it said nothing. While requests fail, one at a time goes and
        looks, after a pause that grows; a cluster that comes back meets a ramp, not a flood."""
        async with self._places:
            if not self._failures:
                return await self._request(batch)
            async with self._prober:
                if self._failures:
                    self._pauses += 1
                    await self._sleep(self._backoff.pause_s(self._pauses))
                    if not await self._client.answers():
                        return None
                return await self._request(batch)

    async def _request(self, batch: list[Chunk]) -> Answer | None:
        started = self._clock()
        self._change_in_flight(+1)
        try:
            answer = await self._client.bulk([chunk.bulk for chunk in batch])
        except Unanswered as error:
            self._failed(str(error), "unanswered", batch)
            return None
        finally:
            self._change_in_flight(-1)
            self._scoreboard.observe(metrics.BULK_REQUEST_SECONDS, self._clock() - started)
        if answer.status == 200:
            return answer
        if answer.status == 413 or (answer.status == 400 and read_error(answer.body)):
            self._succeeded()
            self._scoreboard.add(metrics.BULK_REQUESTS, 1, "refused")
            return answer
        kind = read_error(answer.body).get("type", "")
        self._failed(f"status {answer.status} {kind}".strip(), "refused", batch)
        return None

    async def _settle(self, batch: list[Chunk], answer: Answer) -> bool:
        """Settle what the answer tells; False where it can not be read."""
        count = sum(chunk.count for chunk in batch)
        if is_flawless(answer.body, count):
            self._succeeded()
            self._scoreboard.add(metrics.BULK_REQUESTS, 1, "indexed")
            self._outcomes.indexed(batch)
            return True
        try:
            items = read_items(answer.body, count)
        except UnreadableAnswer as error:
            self._failed(f"unreadable answer: {error}", "unanswered", batch)
            return False
        self._succeeded()
        self._scoreboard.add(metrics.BULK_REQUESTS, 1, "partial" if items else "indexed")
        if again := await self._outcomes.settle(batch, items):
            self._start(self._again(again))
        return True

    async def _again(self, chunks: list[Chunk]) -> None:
        """Only what failed, in its own time, outside of the `max_in_flight` places."""
        self._scoreboard.add(metrics.DOCUMENTS_RETRIED, sum(chunk.count for chunk in chunks))
        await self._sleep(self._backoff.pause_s(max(chunk.attempts for chunk in chunks)))
        await self._deliver(chunks)

    async def _refuse(self, chunk: Chunk, answer: Answer) -> None:
        """A single document that the whole request was refused for."""
        item = Item(0, answer.status, "dead_letter", read_error(answer.body))
        if again := await self._outcomes.settle([chunk], [item]):
            self._start(self._again(again))

    def _failed(self, reason: str, result: str, batch: list[Chunk]) -> None:
        self._failures += 1
        self._scoreboard.add(metrics.BULK_REQUESTS, 1, result)
        self._scoreboard.add(metrics.DOCUMENTS_RETRIED, sum(chunk.count for chunk in batch))
        if self._failures == 1:
            log.warning(
                "elasticsearch takes no documents; they are kept and sent again", reason=reason
            )

    def _note_mistake(self, error: Exception, mistakes: int, batch: list[Chunk]) -> None:
        """Its traceback is shown once, and once an interval where many batches meet it."""
        documents = sum(chunk.count for chunk in batch)
        self._scoreboard.add(metrics.DOCUMENTS_RETRIED, documents)
        if mistakes > 1:
            return
        self._mistakes.add(type(error).__name__, documents)
        for kind, met in self._mistakes.due():
            log.error(
                "a delivery failed; its documents are kept and sent again",
                error=kind,
                documents=met,
                exc_info=error,
            )

    def _succeeded(self) -> None:
        if self._failures:
            log.info("elasticsearch takes documents again", failed_requests=self._failures)
        self._failures = self._pauses = 0

    def _change_in_flight(self, change: int) -> None:
        self._in_flight += change
        self._scoreboard.set(metrics.BULK_IN_FLIGHT, self._in_flight)


def _halves(batch: list[Chunk]) -> list[list[Chunk]]:
    """A batch in two: by chunks, or the documents of its only chunk."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    return [[half] for half in halve(batch[0])]

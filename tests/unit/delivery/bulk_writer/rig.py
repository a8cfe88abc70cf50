"""What Elasticsearch answers to the bulk writer, as scripts of the ids that it is sent."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ingest.chunk import Chunk
from ingest.delivery.cluster import Answer, Unanswered
from tests.delivery_rig import INDEXED, Delivery, answer_of

Script = Callable[[list[int]], Answer]
DeliveryOf = Callable[..., Delivery]
REFUSAL = {"error": {"type": "illegal_argument_exception", "reason": "no"}, "status": 400}


def indexes_all(ids: list[int]) -> Answer:
    return answer_of([INDEXED] * len(ids))


def fails_first(times: int, failure: Script, then: Script = indexes_all) -> Script:
    left = iter(range(times))
    return lambda ids: failure(ids) if next(left, None) is not None else then(ids)


def fails_each_once(fates: dict[int, dict[str, Any]]) -> Script:
    """Items of these documents fail so, but only the first time."""
    unseen = dict(fates)
    return lambda ids: answer_of([unseen.pop(n, INDEXED) for n in ids])


def unanswered(ids: list[int]) -> Answer:
    raise Unanswered("reset")


def deliver_until(
    is_reached: Callable[[], bool], delivery: Delivery, batch: Sequence[Chunk]
) -> None:
    """What is not delivered by then is given up, as by a worker whose time is over."""

    async def run() -> None:
        delivery.take(*batch)
        delivery.writer.send(list(batch))
        while not is_reached():
            await asyncio.sleep(0)
        await delivery.writer.cancel()

    asyncio.run(run())
    delivery.check()

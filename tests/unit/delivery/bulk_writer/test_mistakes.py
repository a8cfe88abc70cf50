"""Mistakes of ours: told once, tried again, and no other document pays for them."""

from collections.abc import Sequence

from structlog.testing import capture_logs

from ingest import metrics
from ingest.chunk import Chunk
from ingest.delivery.cluster import Answer
from tests.delivery_rig import (
    CountingKeeper,
    CountingReceipt,
    answer_of,
    chunk_of,
    failed,
)
from tests.unit.delivery.bulk_writer.rig import DeliveryOf, deliver_until, fails_first, indexes_all


def mistaken(ids: list[int]) -> Answer:
    raise ZeroDivisionError("a mistake")


def spoilt(ids: list[int]) -> Chunk:
    """A chunk whose documents can not become dead letters."""
    chunk = chunk_of(ids)
    chunk.bulk = chunk.bulk.replace(b'"_index"', b'"_INDEX"')
    return chunk


def test_what_fails_for_a_mistake_is_sent_again_and_told_once(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(fails_first(9, mistaken))
    receipt = CountingReceipt(3)
    with capture_logs() as lines:
        delivery.deliver([chunk_of([0, 1, 2], receipt)])
    assert delivery.bulk.sent == [[0, 1, 2]] * 10
    assert delivery.pauses_s == [1, 2, 4, 8, 16, 32, 64, 64, 64]
    assert delivery.ledger.indexed == 3
    assert receipt.is_settled
    (line,) = lines
    assert (line["log_level"], line["error"], line["documents"]) == (
        "error",
        "ZeroDivisionError",
        3,
    )
    assert isinstance(line["exc_info"], ZeroDivisionError)
    assert delivery.board.read(metrics.DOCUMENTS_RETRIED) == {"": [27]}


def test_a_poison_chunk_keeps_no_other(delivery_of: DeliveryOf) -> None:
    """Whatever it is sent with, the chunk of 5 and 6 makes the writer fail."""
    delivery = delivery_of(lambda ids: mistaken(ids) if 5 in ids else indexes_all(ids))
    receipts = [CountingReceipt(2) for _ in range(5)]
    chunks = [chunk_of([2 * n + 1, 2 * n + 2], receipt) for n, receipt in enumerate(receipts)]

    def is_stuck_with_it() -> bool:
        return delivery.ledger.indexed >= 8 and len(delivery.pauses_s) >= 20

    with capture_logs() as lines:
        deliver_until(is_stuck_with_it, delivery, chunks)
    assert [receipt.is_settled for receipt in receipts] == [True, True, False, True, True]
    assert delivery.ledger.in_memory == 2
    assert delivery.pauses_s[-5:] == [64] * 5
    assert len(lines) == 1


def test_one_that_can_not_be_settled_keeps_no_other_either(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(lambda ids: answer_of([failed(400) for _ in ids]))

    def is_stuck_with_it() -> bool:
        return delivery.ledger.dead_letter >= 3 and len(delivery.pauses_s) >= 9

    chunks = [chunk_of([0]), spoilt([1]), chunk_of([2]), chunk_of([3])]
    deliver_until(is_stuck_with_it, delivery, chunks)
    assert sorted(letter["document"]["n"] for letter in delivery.letters()) == [0, 2, 3]
    assert delivery.ledger.in_memory == 1


def test_a_mistake_that_every_batch_meets_is_not_told_for_each(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(fails_first(40, mistaken))
    with capture_logs() as lines:
        delivery.deliver(*[[chunk_of([n])] for n in range(40)])
    assert delivery.ledger.indexed == 40
    assert len(lines) == 1


def test_what_was_settled_before_a_mistake_is_not_settled_again(
    delivery_of: DeliveryOf,
) -> None:
    class Slipping(CountingKeeper):
        def settle(self, sequences: Sequence[int]) -> None:
            super().settle(sequences)
            raise ZeroDivisionError("a mistake")

    delivery = delivery_of(lambda ids: answer_of([failed(409) for _ in ids]))
    receipts = CountingReceipt(1), CountingReceipt(1)
    batch = [chunk_of([0], receipts[0], Slipping({0})), chunk_of([1], receipts[1])]
    deliver_until(lambda: not delivery.writer.is_busy, delivery, batch)
    assert delivery.bulk.sent == [[0, 1], [1]]
    assert delivery.ledger.duplicate == 2
    assert receipts[1].is_settled

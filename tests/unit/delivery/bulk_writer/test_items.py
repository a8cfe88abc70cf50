"""Items of one answer: each has its own fate, and only what failed is sent again."""

import pytest

from ingest import metrics
from tests.delivery_rig import INDEXED, CountingReceipt, answer_of, chunk_of, failed
from tests.unit.delivery.bulk_writer.rig import (
    DeliveryOf,
    fails_each_once,
    fails_first,
    indexes_all,
)


def test_a_flawless_batch_is_one_request(delivery_of: DeliveryOf) -> None:
    delivery = delivery_of(indexes_all)
    receipts = CountingReceipt(2), CountingReceipt(3)
    delivery.deliver([chunk_of([0, 1], receipts[0]), chunk_of([5, 6, 7], receipts[1])])
    assert delivery.bulk.sent == [[0, 1, 5, 6, 7]]
    assert all(receipt.is_settled for receipt in receipts)
    assert delivery.ledger.indexed == 5
    assert delivery.pauses_s == []


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_only_failed_items_are_sent_again(delivery_of: DeliveryOf, status: int) -> None:
    delivery = delivery_of(
        fails_each_once({2: failed(status), 3: failed(status), 7: failed(status)})
    )
    delivery.deliver([chunk_of(range(4)), chunk_of(range(4, 8))])
    assert delivery.bulk.sent == [[0, 1, 2, 3, 4, 5, 6, 7], [2, 3, 7]]
    assert delivery.ledger.indexed == 8
    assert delivery.board.read(metrics.DOCUMENTS_RETRIED) == {"": [3]}


def test_one_answer_may_hold_every_fate(delivery_of: DeliveryOf) -> None:
    fates = {
        1: failed(409),
        2: failed(400, "document_parsing_exception", "bad"),
        3: failed(429),
        4: {"status": 201, "failure_store": "used"},
        5: failed(413),
    }
    receipt = CountingReceipt(7)
    delivery = delivery_of(fails_each_once(fates))
    delivery.deliver([chunk_of(range(7), receipt)])
    ledger = delivery.ledger
    assert (ledger.indexed, ledger.duplicate, ledger.dead_letter) == (4, 1, 2)
    assert delivery.board.read(metrics.FAILURE_STORE) == {"": [1]}
    assert [each.position for each in receipt.failures] == [2, 5]
    assert [each["document"] for each in delivery.letters()] == [{"n": 2}, {"n": 5}]
    assert receipt.is_settled


def test_items_that_fail_again_and_again_wait_longer_each_time(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(
        fails_first(9, lambda ids: answer_of([failed(429) if n == 1 else INDEXED for n in ids]))
    )
    delivery.deliver([chunk_of(range(3))])
    assert delivery.bulk.sent == [[0, 1, 2], *[[1]] * 9]
    assert delivery.pauses_s == [1, 2, 4, 8, 16, 32, 64, 64, 64]


def test_a_retried_part_leaves_its_place_to_others(delivery_of: DeliveryOf) -> None:
    delivery = delivery_of(fails_each_once({0: failed(429)}), max_in_flight=1)
    delivery.deliver([chunk_of([0])], [chunk_of([1])])
    assert delivery.bulk.sent == [[0], [1], [0]]


def test_an_error_that_is_a_text_is_kept_as_a_reason(delivery_of: DeliveryOf) -> None:
    delivery = delivery_of(lambda ids: answer_of([{"status": 400, "error": "plain text"}]))
    delivery.deliver([chunk_of([0])])
    [letter] = delivery.letters()
    assert letter["error"]["reason"] == "plain text"

"""Requests that are too large or can not be read are halved down to the document."""

import orjson
import pytest

from ingest.delivery.cluster import Answer
from tests.delivery_rig import CountingReceipt, chunk_of
from tests.unit.delivery.bulk_writer.rig import REFUSAL, DeliveryOf, indexes_all


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_413_halves_down_to_what_is_taken(delivery_of: DeliveryOf, count: int) -> None:
    delivery = delivery_of(lambda ids: Answer(413, b"") if len(ids) > 1 else indexes_all(ids))
    receipt = CountingReceipt(count)
    delivery.deliver([chunk_of(range(count), receipt)])
    assert [ids for ids in delivery.bulk.sent if len(ids) == 1] == [[n] for n in range(count)]
    assert delivery.ledger.indexed == count
    assert receipt.is_settled


def test_a_document_that_is_alone_too_large_is_a_dead_letter(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(lambda ids: Answer(413, b"") if 4 in ids else indexes_all(ids))
    receipts = [CountingReceipt(3) for _ in range(3)]
    delivery.deliver([chunk_of(range(3 * i, 3 * i + 3), receipts[i]) for i in range(3)])
    assert delivery.ledger.indexed == 8
    [letter] = delivery.letters()
    assert (letter["document"], letter["status"]) == ({"n": 4}, 413)
    assert [each.position for each in receipts[1].failures] == [4]


@pytest.mark.parametrize("bad", range(6))
def test_400_is_bisected_to_the_bad_document(delivery_of: DeliveryOf, bad: int) -> None:
    delivery = delivery_of(
        lambda ids: Answer(400, orjson.dumps(REFUSAL)) if bad in ids else indexes_all(ids)
    )
    receipts = CountingReceipt(1), CountingReceipt(5)
    delivery.deliver([chunk_of([0], receipts[0]), chunk_of(range(1, 6), receipts[1])])
    assert delivery.ledger.indexed == 5
    [letter] = delivery.letters()
    assert letter["document"] == {"n": bad}
    assert letter["error"] == REFUSAL["error"]
    assert [each.position for receipt in receipts for each in receipt.failures] == [bad]
    assert all(receipt.is_settled for receipt in receipts)


def test_all_documents_bad_are_all_dead_letters(delivery_of: DeliveryOf) -> None:
    delivery = delivery_of(lambda ids: Answer(400, orjson.dumps(REFUSAL)))
    delivery.deliver([chunk_of(range(5))])
    assert delivery.ledger.dead_letter == 5
    assert sorted(letter["document"]["n"] for letter in delivery.letters()) == [0, 1, 2, 3, 4]

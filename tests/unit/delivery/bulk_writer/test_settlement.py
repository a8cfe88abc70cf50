"""What becomes of a document: settled, kept as a dead letter first, or still in the ledger."""

from pathlib import Path

import pytest

from ingest.delivery.cluster import Answer
from ingest.intake import Intake
from tests.delivery_rig import INDEXED, CountingReceipt, answer_of, chunk_of, failed
from tests.unit.delivery.bulk_writer.rig import DeliveryOf, deliver_until, fails_each_once


def test_a_dead_letter_is_on_disk_before_it_is_settled(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(lambda ids: answer_of([failed(400)] * len(ids)))
    on_disk: list[int] = []

    class Receipt(CountingReceipt):
        def settle(self, count: int) -> None:
            super().settle(count)
            if count:
                on_disk.append(len(delivery.letters()))

    delivery.deliver([chunk_of([0, 1], Receipt(2))])
    assert on_disk == [2, 2]


def test_without_dead_letters_documents_stay_and_are_sent_again(
    delivery_of: DeliveryOf, tmp_path: Path
) -> None:
    obstacle = tmp_path / "dead-letters"
    obstacle.write_text("a file where the directory should be")
    receipt = CountingReceipt(3)
    refused = 0

    def script(ids: list[int]) -> Answer:
        nonlocal refused
        refused += 1
        if refused == 3:
            obstacle.unlink()
        return answer_of([failed(400) if n == 1 else INDEXED for n in ids])

    delivery = delivery_of(script)
    delivery.deliver([chunk_of([0, 1, 2], receipt)])
    assert delivery.bulk.sent == [[0, 1, 2], [1], [1]]
    assert len(delivery.letters()) == 1
    assert (delivery.ledger.indexed, delivery.ledger.dead_letter) == (2, 1)
    assert receipt.is_settled


def test_a_refused_single_document_stays_without_dead_letters(
    delivery_of: DeliveryOf, tmp_path: Path
) -> None:
    obstacle = tmp_path / "dead-letters"
    obstacle.write_text("")

    def script(ids: list[int]) -> Answer:
        if len(delivery.bulk.sent) == 2:
            obstacle.unlink()
        return Answer(413, b"")

    delivery = delivery_of(script)
    delivery.deliver([chunk_of([0])])
    assert delivery.bulk.sent == [[0], [0]]
    assert len(delivery.letters()) == 1


def test_what_is_given_up_is_still_in_the_ledger(delivery_of: DeliveryOf) -> None:
    delivery = delivery_of(lambda ids: answer_of([failed(429) if n else INDEXED for n in ids]))
    receipt = CountingReceipt(3)
    deliver_until(lambda: len(delivery.bulk.sent) >= 3, delivery, [chunk_of([0, 1, 2], receipt)])
    assert delivery.ledger.in_memory == 2
    assert receipt.settled == 1
    assert delivery.room.pending_bytes == chunk_of([1, 2]).held_bytes


def test_failures_of_an_indexed_request_name_their_positions(
    delivery_of: DeliveryOf,
) -> None:
    intake = Intake("indexed", route=lambda document, line: pytest.fail("not asked"))
    intake.received, intake.in_memory, intake.is_read = 9, 6, True
    told: list[list[int]] = []
    intake.when_done(lambda: told.append([each.position for each in intake.failures]))
    chunks = [chunk_of([0, 1, 2]), chunk_of([3, 4, 5])]
    for chunk, positions in zip(chunks, ([0, 2, 3], [5, 7, 8]), strict=True):
        chunk.lot.receipt, chunk.positions = intake, positions
    fates = {1: failed(429), 2: failed(400), 3: failed(409), 5: failed(400, "x", "y")}
    delivery = delivery_of(fails_each_once(fates))
    delivery.deliver(chunks)
    assert told == [[3, 8]]
    assert (intake.failures[1].type, intake.failures[1].reason) == ("x", "y")


def test_documents_of_an_answered_request_count_as_acked(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(fails_each_once({1: failed(429)}))
    receipt = CountingReceipt(2)

    def script(ids: list[int]) -> Answer:
        if len(ids) == 2:  # the request is answered while its documents are under way
            ledger = delivery.board.ledger
            ledger.in_memory_unacked -= 2
            ledger.in_memory_acked += 2
            delivery.board.publish()
            receipt.acked = True
        return original(ids)

    original, delivery.bulk.script = delivery.bulk.script, script
    delivery.deliver([chunk_of([0, 1], receipt)])
    assert delivery.ledger.in_memory_acked == delivery.ledger.in_memory_unacked == 0

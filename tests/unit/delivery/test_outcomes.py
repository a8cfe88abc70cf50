"""Settling: the ledger, the receipt, the pending bytes and the dead letters, each once."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingest import metrics
from ingest.chunk import Chunk
from ingest.delivery.bulk_response import Fate, Item
from ingest.delivery.repeats import INTERVAL_S
from tests.delivery_rig import (
    CountingKeeper,
    CountingReceipt,
    Delivery,
    answer_of,
    chunk_of,
    ids_in,
    open_scoreboard,
)


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[Delivery]:
    with open_scoreboard() as board:
        yield Delivery(board, tmp_path, lambda ids: answer_of([]))


def item(index: int, fate: Fate, status: int = 400, type: str = "t") -> Item:
    return Item(index, status, fate, {"type": type, "reason": "r"})


def settle(delivery: Delivery, batch: list[Chunk], *items: Item) -> list[Chunk]:
    delivery.take(*batch)
    again = asyncio.run(delivery.outcomes.settle(batch, items))
    delivery.check()
    return again


def test_flawless_chunks_are_indexed_and_free_their_bytes(delivery: Delivery) -> None:
    receipts = CountingReceipt(2), CountingReceipt(1)
    chunks = [chunk_of([0, 1], receipts[0]), chunk_of([2], receipts[1])]
    delivery.take(*chunks)
    delivery.outcomes.indexed(chunks)
    assert delivery.ledger.is_balanced
    assert delivery.ledger.indexed == 3
    assert delivery.room.pending_bytes == 0
    assert all(receipt.is_settled for receipt in receipts)


def test_items_are_shared_out_to_their_chunks(delivery: Delivery) -> None:
    receipts = [CountingReceipt(count) for count in (2, 1, 3)]
    batch = [
        chunk_of(ids, receipt)
        for ids, receipt in zip(([10, 11], [20], [30, 31, 32]), receipts, strict=True)
    ]
    again = settle(
        delivery,
        batch,
        item(1, "dead_letter"),
        item(3, "again"),
        item(4, "dead_letter"),
        item(5, "again"),
    )
    assert [(ids_in(chunk.bulk), list(chunk.positions)) for chunk in again] == [
        ([30, 32], [30, 32])
    ]
    assert again[0].lot is batch[2].lot
    assert [[each.position for each in r.failures] for r in receipts] == [[11], [], [31]]
    assert [receipt.settled for receipt in receipts] == [2, 1, 1]
    assert delivery.room.pending_bytes == again[0].held_bytes
    assert delivery.ledger.in_memory == 2


def test_what_goes_again_counts_its_attempts(delivery: Delivery) -> None:
    [once] = settle(delivery, [chunk_of([0, 1])], item(1, "again"))
    [twice] = asyncio.run(delivery.outcomes.settle([once], [item(0, "again")]))
    assert (once.attempts, twice.attempts) == (1, 2)
    asyncio.run(delivery.outcomes.settle([twice], [item(0, "dead_letter")]))
    assert [letter["attempts"] for letter in delivery.letters()] == [3]


def test_a_trimmed_document_is_a_dead_letter_as_it_was_sent(delivery: Delivery) -> None:
    chunk = chunk_of([0, 1, 2])
    chunk.originals = {2: b'{"n": "two, untrimmed"}\r\n'}
    [rest] = settle(delivery, [chunk], item(0, "dead_letter"), item(2, "again"))
    asyncio.run(delivery.outcomes.settle([rest], [item(0, "dead_letter")]))
    assert [each["document"] for each in delivery.letters()] == [{"n": 0}, {"n": "two, untrimmed"}]


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        pytest.param("duplicate", (1, 1, 0), id="duplicate"),
        pytest.param("failure_store", (2, 0, 0), id="failure store"),
        pytest.param("dead_letter", (1, 0, 1), id="dead letter"),
    ],
)
def test_each_fate_counts_under_its_name(
    delivery: Delivery, fate: Fate, expected: tuple[int, int, int]
) -> None:
    assert settle(delivery, [chunk_of([0, 1])], item(0, fate)) == []
    ledger = delivery.ledger
    assert (ledger.indexed, ledger.duplicate, ledger.dead_letter) == expected


def test_dead_letters_are_counted_by_type(delivery: Delivery) -> None:
    items = [item(0, "dead_letter", type="a"), item(1, "dead_letter", type="b")]
    items.append(Item(2, 413, "dead_letter", {}))
    settle(delivery, [chunk_of([0, 1, 2])], *items)
    counted = delivery.board.read(metrics.DEAD_LETTERS)
    assert counted == {"a": [1], "b": [1], "unknown": [1]}


def test_a_receipt_is_told_in_the_turn_in_which_the_ledger_changes(delivery: Delivery) -> None:
    seen: list[tuple[int, int]] = []

    class Receipt(CountingReceipt):
        def settle(self, count: int) -> None:
            super().settle(count)
            seen.append((self.settled, delivery.ledger.in_memory))

    settle(delivery, [chunk_of([0, 1, 2], Receipt(3))], item(2, "dead_letter"))
    assert seen == [(2, 0), (3, 0)]


@pytest.mark.parametrize("acked", [True, False])
def test_documents_leave_memory_under_the_label_they_are_there(
    delivery: Delivery, acked: bool
) -> None:
    receipt = CountingReceipt(3, acked=acked)
    chunk = chunk_of([0, 1, 2], receipt)
    delivery.take(chunk)
    if acked:
        ledger = delivery.board.ledger
        ledger.in_memory_acked, ledger.in_memory_unacked = 3, 0
    asyncio.run(delivery.outcomes.settle([chunk], [item(1, "again")]))
    ledger = delivery.ledger
    assert (ledger.in_memory_acked, ledger.in_memory_unacked) == ((1, 0) if acked else (0, 1))


def test_spooled_documents_leave_the_spool_and_its_keeper(delivery: Delivery) -> None:
    keepers = CountingKeeper({0, 1, 2}), CountingKeeper({7, 8})
    chunks = [chunk_of([0, 1, 2], keeper=keepers[0]), chunk_of([7, 8], keeper=keepers[1])]
    delivery.take(*chunks)
    ledger = delivery.board.ledger
    ledger.in_memory_unacked, ledger.spooled = 0, 5
    for chunk in chunks:
        chunk.lot.is_spooled = True
    items = [item(0, "again"), item(1, "dead_letter"), item(2, "duplicate")]
    [rest] = asyncio.run(delivery.outcomes.settle(chunks, items))
    delivery.check()
    assert (keepers[0].keeps, keepers[1].keeps) == ({0}, set())
    assert (chunks[0].lot.unsettled, chunks[1].lot.unsettled) == (1, 0)
    assert (delivery.ledger.spooled, delivery.ledger.in_memory) == (1, 0)
    delivery.outcomes.indexed([rest])
    assert keepers[0].keeps == set()
    assert delivery.ledger.is_balanced
    assert delivery.ledger.spooled == 0


def test_a_keeper_keeps_what_has_no_dead_letter_yet(delivery: Delivery, tmp_path: Path) -> None:
    (tmp_path / "dead-letters").write_text("in the way")
    keeper = CountingKeeper({0, 1})
    settle(delivery, [chunk_of([0, 1], keeper=keeper)], item(1, "dead_letter"))
    assert keeper.keeps == {1}


@pytest.mark.parametrize("indices", [[0], [0, 1], [0, 2]])
def test_unwritten_dead_letters_go_again_and_the_others_are_settled(
    delivery: Delivery, tmp_path: Path, indices: list[int]
) -> None:
    (tmp_path / "dead-letters").write_text("in the way")
    receipt = CountingReceipt(3)
    [rest] = settle(
        delivery, [chunk_of([0, 1, 2], receipt)], *[item(i, "dead_letter") for i in indices]
    )
    assert ids_in(rest.bulk) == indices
    assert receipt.failures == []
    assert receipt.settled == 3 - len(indices)
    assert delivery.ledger.dead_letter == 0


@pytest.fixture
def settle_at_once(delivery: Delivery) -> Callable[[list[Chunk]], None]:
    def run(chunks: list[Chunk]) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(
                *(delivery.outcomes.settle([c], [item(0, "dead_letter")]) for c in chunks)
            )

        asyncio.run(all_at_once())

    return run


def test_batches_that_end_together_do_not_mix_their_letters(
    delivery: Delivery, settle_at_once: Callable[[list[Chunk]], None]
) -> None:
    chunks = [chunk_of([n]) for n in range(20)]
    delivery.take(*chunks)
    settle_at_once(chunks)
    assert sorted(each["document"]["n"] for each in delivery.letters()) == list(range(20))


# what is logged


def test_refused_documents_by_the_thousand_are_few_lines_that_name_them_all(
    delivery: Delivery,
) -> None:
    with capture_logs() as lines:
        for n in range(2):
            settle(delivery, [chunk_of([n])], item(0, "dead_letter", type="ab"[n]))
        twenty = [item(n, "dead_letter", type="ab"[n % 2]) for n in range(20)]
        for start in range(2, 1_002, 20):
            settle(delivery, [chunk_of(range(start, start + 20))], *twenty)
        delivery.now_s += INTERVAL_S
        delivery.outcomes.tell()
        settle(delivery, [chunk_of([0, 1])], item(0, "dead_letter"), item(1, "dead_letter"))
        settle(delivery, [chunk_of([0])], item(0, "dead_letter"))
        delivery.outcomes.tell(is_end=True)
    told = [(line["type"], line["documents"]) for line in lines]
    assert told == [("a", 1), ("b", 1), ("a", 500), ("b", 500), ("t", 2), ("t", 1)]
    assert {line["log_level"] for line in lines} == {"error"}


def test_letters_that_can_not_be_written_are_told_now_and_then(
    delivery: Delivery, tmp_path: Path
) -> None:
    (tmp_path / "dead-letters").write_text("in the way")
    with capture_logs() as lines:
        [rest] = settle(delivery, [chunk_of([0])], item(0, "dead_letter"))
        for _ in range(100):
            [rest] = asyncio.run(delivery.outcomes.settle([rest], [item(0, "dead_letter")]))
        delivery.now_s += INTERVAL_S
        delivery.outcomes.tell()
    assert [(line["reason"], line["documents"]) for line in lines] == [
        ("File exists", 1),
        ("File exists", 100),
    ]


# mistakes


class Deaf(CountingReceipt):
    """Fails to be told."""

    def settle(self, count: int) -> None:
        super().settle(count)
        raise RuntimeError("the connection's code has a mistake")


def test_a_request_that_can_not_be_told_stops_nobody(delivery: Delivery) -> None:
    receipts = [Deaf(2), CountingReceipt(2), Deaf(2), CountingReceipt(2)]
    chunks = [chunk_of([2 * n, 2 * n + 1], receipt) for n, receipt in enumerate(receipts)]
    delivery.take(*chunks)
    with capture_logs() as lines:
        delivery.outcomes.indexed(chunks[:2])
        [rest] = asyncio.run(
            delivery.outcomes.settle(chunks[2:], [item(0, "dead_letter"), item(2, "again")])
        )
    assert ids_in(rest.bulk) == [6]
    assert [receipt.settled for receipt in receipts] == [2, 2, 1, 1]
    assert (delivery.ledger.indexed, delivery.ledger.dead_letter) == (6, 1)
    assert delivery.room.pending_bytes == rest.held_bytes
    assert all(chunk.is_settled for chunk in chunks)
    assert not rest.is_settled
    mistakes = [line["times"] for line in lines if "exc_info" in line]
    assert mistakes == [1]


def test_what_can_not_be_read_is_settled_in_no_part(delivery: Delivery) -> None:
    good, bad = chunk_of([0, 1]), chunk_of([2, 3])
    bad.bulk = bad.bulk.replace(b'{"create"', b"{create")
    delivery.take(good, bad)
    with pytest.raises(ValueError, match="unexpected character"):
        asyncio.run(delivery.outcomes.settle([good, bad], [item(2, "dead_letter")]))
    delivery.check()
    assert delivery.ledger.in_memory == 4
    assert [good.is_settled, bad.is_settled] == [False, False]
    assert delivery.letters() == []

"""From a batch to the outcome of each of its documents, whatever Elasticsearch answers."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ingest import metrics
from ingest.chunk import Chunk
from ingest.cluster import Answer, Unanswered
from ingest.intake import Intake
from tests.delivery_rig import (
    INDEXED,
    CountingKeeper,
    CountingReceipt,
    Delivery,
    answer_of,
    chunk_of,
    failed,
    open_scoreboard,
)

Script = Callable[[list[int]], Answer]
REFUSAL = {"error": {"type": "illegal_argument_exception", "reason": "no"}, "status": 400}


@pytest.fixture
def delivery_of(tmp_path: Path) -> Iterator[Callable[..., Delivery]]:
    with open_scoreboard() as board:
        yield lambda script, **options: Delivery(board, tmp_path, script, **options)


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


def test_a_flawless_batch_is_one_request(delivery_of: Callable[..., Delivery]) -> None:
    delivery = delivery_of(indexes_all)
    receipts = CountingReceipt(2), CountingReceipt(3)
    delivery.deliver([chunk_of([0, 1], receipts[0]), chunk_of([5, 6, 7], receipts[1])])
    assert delivery.bulk.sent == [[0, 1, 5, 6, 7]]
    assert all(receipt.is_settled for receipt in receipts)
    assert delivery.ledger.indexed == 5
    assert delivery.pauses_s == []


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
def test_only_failed_items_are_sent_again(
    delivery_of: Callable[..., Delivery], status: int
) -> None:
    delivery = delivery_of(
        fails_each_once({2: failed(status), 3: failed(status), 7: failed(status)})
    )
    delivery.deliver([chunk_of(range(4)), chunk_of(range(4, 8))])
    assert delivery.bulk.sent == [[0, 1, 2, 3, 4, 5, 6, 7], [2, 3, 7]]
    assert delivery.ledger.indexed == 8
    assert delivery.board.read(metrics.DOCUMENTS_RETRIED) == {"": [3]}


def test_one_answer_may_hold_every_fate(delivery_of: Callable[..., Delivery]) -> None:
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
    delivery_of: Callable[..., Delivery],
) -> None:
    delivery = delivery_of(
        fails_first(9, lambda ids: answer_of([failed(429) if n == 1 else INDEXED for n in ids]))
    )
    delivery.deliver([chunk_of(range(3))])
    assert delivery.bulk.sent == [[0, 1, 2], *[[1]] * 9]
    assert delivery.pauses_s == [1, 2, 4, 8, 16, 32, 64, 64, 64]


def test_a_retried_part_leaves_its_place_to_others(delivery_of: Callable[..., Delivery]) -> None:
    delivery = delivery_of(fails_each_once({0: failed(429)}), max_in_flight=1)
    delivery.deliver([chunk_of([0])], [chunk_of([1])])
    assert delivery.bulk.sent == [[0], [1], [0]]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_413_halves_down_to_what_is_taken(delivery_of: Callable[..., Delivery], count: int) -> None:
    delivery = delivery_of(lambda ids: Answer(413, b"") if len(ids) > 1 else indexes_all(ids))
    receipt = CountingReceipt(count)
    delivery.deliver([chunk_of(range(count), receipt)])
    assert [ids for ids in delivery.bulk.sent if len(ids) == 1] == [[n] for n in range(count)]
    assert delivery.ledger.indexed == count
    assert receipt.is_settled


def test_a_document_that_is_alone_too_large_is_a_dead_letter(
    delivery_of: Callable[..., Delivery],
) -> None:
    delivery = delivery_of(lambda ids: Answer(413, b"") if 4 in ids else indexes_all(ids))
    receipts = [CountingReceipt(3) for _ in range(3)]
    delivery.deliver([chunk_of(range(3 * i, 3 * i + 3), receipts[i]) for i in range(3)])
    assert delivery.ledger.indexed == 8
    [letter] = delivery.letters()
    assert (letter["document"], letter["status"]) == ({"n": 4}, 413)
    assert [each.position for each in receipts[1].failures] == [4]


@pytest.mark.parametrize("bad", range(6))
def test_400_is_bisected_to_the_bad_document(
    delivery_of: Callable[..., Delivery], bad: int
) -> None:
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


def test_all_documents_bad_are_all_dead_letters(delivery_of: Callable[..., Delivery]) -> None:
    delivery = delivery_of(lambda ids: Answer(400, orjson.dumps(REFUSAL)))
    delivery.deliver([chunk_of(range(5))])
    assert delivery.ledger.dead_letter == 5
    assert sorted(letter["document"]["n"] for letter in delivery.letters()) == [0, 1, 2, 3, 4]


WHOLE_FAILURES: list[Any] = [
    pytest.param(unanswered, id="no answer"),
    pytest.param(lambda ids: Answer(429, b""), id="429"),
    pytest.param(lambda ids: Answer(401, orjson.dumps({"error": "who?"})), id="401"),
    pytest.param(lambda ids: Answer(503, b"<html>Service Unavailable</html>"), id="503 as HTML"),
    pytest.param(lambda ids: Answer(406, b'{"error":{"type":{"a":1}}}'), id="strange type"),
    pytest.param(lambda ids: Answer(204, b""), id="204"),
    pytest.param(lambda ids: Answer(200, b"<html>Log in</html>"), id="HTML"),
    pytest.param(lambda ids: Answer(200, b""), id="empty"),
    pytest.param(lambda ids: Answer(200, indexes_all(ids).body[:-9]), id="cut"),
    pytest.param(lambda ids: indexes_all(ids[1:]), id="an item short"),
    pytest.param(lambda ids: indexes_all([*ids, 0]), id="an item long"),
    pytest.param(lambda ids: Answer(200, b'{"errors":false,"items":null}'), id="no items"),
]


@pytest.mark.parametrize("failure", WHOLE_FAILURES)
def test_what_says_nothing_is_repeated_with_growing_pauses(
    delivery_of: Callable[..., Delivery], failure: Script
) -> None:
    delivery = delivery_of(fails_first(4, failure))
    delivery.deliver([chunk_of([0, 1, 2])])
    assert delivery.bulk.sent == [[0, 1, 2]] * 5
    assert delivery.pauses_s == [1, 2, 4, 8]
    assert delivery.ledger.indexed == 3


def test_an_error_that_is_a_text_is_kept_as_a_reason(delivery_of: Callable[..., Delivery]) -> None:
    delivery = delivery_of(lambda ids: answer_of([{"status": 400, "error": "plain text"}]))
    delivery.deliver([chunk_of([0])])
    [letter] = delivery.letters()
    assert letter["error"]["reason"] == "plain text"


def test_requests_that_fail_together_count_as_one_failure(
    delivery_of: Callable[..., Delivery],
) -> None:
    delivery = delivery_of(fails_first(5, unanswered), max_in_flight=4)
    delivery.deliver(*[[chunk_of([n])] for n in range(4)])
    assert delivery.pauses_s == [1, 2]


def test_after_an_outage_the_pauses_begin_anew(delivery_of: Callable[..., Delivery]) -> None:
    outages = [False, True, True, False, True, False]

    def script(ids: list[int]) -> Answer:
        return unanswered(ids) if outages.pop(0) else indexes_all(ids)

    delivery = delivery_of(script, max_in_flight=1)
    delivery.deliver(*[[chunk_of([n])] for n in range(3)])
    assert delivery.pauses_s == [1, 2, 1]


def test_while_requests_fail_one_at_a_time_looks(delivery_of: Callable[..., Delivery]) -> None:
    delivery = delivery_of(fails_first(10, unanswered), max_in_flight=4)
    delivery.deliver(*[[chunk_of([n])] for n in range(12)])
    assert delivery.bulk.in_flight_seen[:4] == [1, 2, 3, 4]
    assert set(delivery.bulk.in_flight_seen[4:11]) == {1}
    assert delivery.ledger.indexed == 12


def test_no_batch_is_tried_while_a_small_question_gets_no_answer(
    delivery_of: Callable[..., Delivery],
) -> None:
    delivery = delivery_of(fails_first(1, unanswered))
    answers = iter([False, False, True])
    delivery.bulk.is_there = lambda: next(answers)
    delivery.deliver([chunk_of([0, 1])])
    assert delivery.bulk.sent == [[0, 1]] * 2
    assert delivery.pauses_s == [1, 2, 4]


def test_it_is_failing_from_the_first_failure_to_the_next_success(
    delivery_of: Callable[..., Delivery],
) -> None:
    seen: list[bool] = []

    def script(ids: list[int]) -> Answer:
        seen.append(delivery.writer.is_failing)
        return original(ids)

    delivery = delivery_of(fails_first(2, unanswered))
    original, delivery.bulk.script = delivery.bulk.script, script
    delivery.deliver([chunk_of([0])])
    assert seen == [False, True, True]
    assert not delivery.writer.is_failing


@pytest.mark.parametrize("places", [1, 3])
def test_no_more_requests_than_max_in_flight(
    delivery_of: Callable[..., Delivery], places: int
) -> None:
    delivery = delivery_of(indexes_all, max_in_flight=places)
    delivery.deliver(*[[chunk_of([n])] for n in range(10)])
    assert max(delivery.bulk.in_flight_seen) == places
    assert delivery.board.read(metrics.BULK_IN_FLIGHT) == {"": [0]}


def test_a_dead_letter_is_on_disk_before_it_is_settled(
    delivery_of: Callable[..., Delivery],
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
    delivery_of: Callable[..., Delivery], tmp_path: Path
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
    delivery_of: Callable[..., Delivery], tmp_path: Path
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


def test_what_is_given_up_is_still_in_the_ledger(delivery_of: Callable[..., Delivery]) -> None:
    delivery = delivery_of(lambda ids: answer_of([failed(429) if n else INDEXED for n in ids]))
    receipt = CountingReceipt(3)

    async def run() -> None:
        batch = [chunk_of([0, 1, 2], receipt)]
        delivery.take(*batch)
        delivery.writer.send(batch)
        while len(delivery.bulk.sent) < 3:
            await asyncio.sleep(0)
        await delivery.writer.cancel()

    asyncio.run(run())
    delivery.check()
    assert delivery.ledger.in_memory == 2
    assert receipt.settled == 1
    assert delivery.room.pending_bytes == len(chunk_of([1, 2]).bulk)


def test_failures_of_an_indexed_request_name_their_positions(
    delivery_of: Callable[..., Delivery],
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
    delivery_of: Callable[..., Delivery],
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


# mistakes of ours


def mistaken(ids: list[int]) -> Answer:
    raise ZeroDivisionError("a mistake")


def spoilt(ids: list[int]) -> Chunk:
    """A chunk whose documents can not become dead letters."""
    chunk = chunk_of(ids)
    chunk.bulk = chunk.bulk.replace(b'"_index"', b'"_INDEX"')
    return chunk


def test_what_fails_for_a_mistake_is_sent_again_and_told_once(
    delivery_of: Callable[..., Delivery],
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


def test_a_poison_chunk_keeps_no_other(delivery_of: Callable[..., Delivery]) -> None:
    """Whatever it is sent with, the chunk of 5 and 6 makes the writer fail."""
    delivery = delivery_of(lambda ids: mistaken(ids) if 5 in ids else indexes_all(ids))
    receipts = [CountingReceipt(2) for _ in range(5)]
    chunks = [chunk_of([2 * n + 1, 2 * n + 2], receipt) for n, receipt in enumerate(receipts)]

    async def run() -> None:
        delivery.take(*chunks)
        delivery.writer.send(chunks)
        while delivery.ledger.indexed < 8 or len(delivery.pauses_s) < 20:
            await asyncio.sleep(0)
        await delivery.writer.cancel()

    with capture_logs() as lines:
        asyncio.run(run())
    delivery.check()
    assert [receipt.is_settled for receipt in receipts] == [True, True, False, True, True]
    assert delivery.ledger.in_memory == 2
    assert delivery.pauses_s[-5:] == [64] * 5
    assert len(lines) == 1


def test_one_that_can_not_be_settled_keeps_no_other_either(
    delivery_of: Callable[..., Delivery],
) -> None:
    delivery = delivery_of(lambda ids: answer_of([failed(400) for _ in ids]))

    async def run() -> None:
        batch = [chunk_of([0]), spoilt([1]), chunk_of([2]), chunk_of([3])]
        delivery.take(*batch)
        delivery.writer.send(batch)
        while delivery.ledger.dead_letter < 3 or len(delivery.pauses_s) < 9:
            await asyncio.sleep(0)
        await delivery.writer.cancel()

    asyncio.run(run())
    delivery.check()
    assert sorted(letter["document"]["n"] for letter in delivery.letters()) == [0, 2, 3]
    assert delivery.ledger.in_memory == 1


def test_a_mistake_that_every_batch_meets_is_not_told_for_each(
    delivery_of: Callable[..., Delivery],
) -> None:
    delivery = delivery_of(fails_first(40, mistaken))
    with capture_logs() as lines:
        delivery.deliver(*[[chunk_of([n])] for n in range(40)])
    assert delivery.ledger.indexed == 40
    assert len(lines) == 1


def test_what_was_settled_before_a_mistake_is_not_settled_again(
    delivery_of: Callable[..., Delivery],
) -> None:
    class Slipping(CountingKeeper):
        def settle(self, sequences: Sequence[int]) -> None:
            super().settle(sequences)
            raise ZeroDivisionError("a mistake")

    delivery = delivery_of(lambda ids: answer_of([failed(409) for _ in ids]))
    receipts = CountingReceipt(1), CountingReceipt(1)
    batch = [chunk_of([0], receipts[0], Slipping({0})), chunk_of([1], receipts[1])]

    async def run() -> None:
        delivery.take(*batch)
        delivery.writer.send(batch)
        while delivery.writer.is_busy:
            await asyncio.sleep(0)

    asyncio.run(run())
    delivery.check()
    assert delivery.bulk.sent == [[0, 1], [1]]
    assert delivery.ledger.duplicate == 2
    assert receipts[1].is_settled


FATES = st.sampled_from(["indexed", "again", "lied", "bad", "stored"])
WHOLE = st.sampled_from(["items", "items", "items", "unanswered", "lost answer", "413", "html"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=6),
    st.lists(WHOLE, max_size=12),
    st.lists(FATES, max_size=40),
    st.sets(st.integers(0, 40), max_size=3),
)
def test_every_document_has_one_outcome_that_is_true(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[list[int]],
    whole: list[str],
    fates: list[str],
    poison: set[int],
) -> None:
    """An Elasticsearch that keeps what it was sent, answers at random, and is well in the end."""
    kept: set[int] = set()
    whole, fates = whole[:], fates[:]

    def result(n: int) -> dict[str, Any]:
        fate = fates.pop() if fates else "indexed"
        if n in kept:
            return failed(409)
        if fate == "bad":
            return failed(400)
        if fate in ("indexed", "lied", "stored"):
            kept.add(n)
        if fate == "stored":
            return {"status": 201, "failure_store": "used"}
        return failed(503) if fate in ("lied", "again") else INDEXED

    def script(ids: list[int]) -> Answer:
        kind = whole.pop() if whole else "items"
        if kind == "unanswered":
            return unanswered(ids)
        if kind == "html":
            return Answer(200, b"<html>")
        if kind == "413" and len(ids) > 1:
            return Answer(413, b"")
        if poison & set(ids):
            return Answer(400, orjson.dumps(REFUSAL))
        answer = answer_of([result(n) for n in ids])
        return unanswered(ids) if kind == "lost answer" else answer

    numbers = iter(range(1000))
    batches: list[list[Chunk]] = [
        [chunk_of([next(numbers) for _ in range(count)]) for count in batch] for batch in sizes
    ]
    with open_scoreboard() as board:
        delivery = Delivery(board, tmp_path_factory.mktemp("data"), script, max_in_flight=2)
        delivery.deliver(*batches)
        ledger = delivery.ledger
        letters = [letter["document"]["n"] for letter in delivery.letters()]
        delivery.dead_letters.close()
    chunks = [chunk for batch in batches for chunk in batch]
    everything = {n for chunk in chunks for n in chunk.positions}
    assert ledger.received == ledger.indexed + ledger.duplicate + ledger.dead_letter
    assert len(letters) == len(set(letters)) == ledger.dead_letter
    assert kept | set(letters) == everything
    assert {n for chunk in chunks for n in positions_failed(chunk)} == set(letters)


def positions_failed(chunk: Chunk) -> list[int]:
    receipt = chunk.lot.receipt
    assert isinstance(receipt, CountingReceipt)
    assert receipt.is_settled
    return [each.position for each in receipt.failures]

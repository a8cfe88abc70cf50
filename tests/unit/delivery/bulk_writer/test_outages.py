"""Requests that fail as a whole: pauses grow, one request at a time looks."""

from typing import Any

import orjson
import pytest

from ingest import metrics
from ingest.delivery.cluster import Answer
from tests.delivery_rig import chunk_of
from tests.unit.delivery.bulk_writer.rig import (
    DeliveryOf,
    Script,
    fails_first,
    indexes_all,
    unanswered,
)

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
    delivery_of: DeliveryOf, failure: Script
) -> None:
    delivery = delivery_of(fails_first(4, failure))
    delivery.deliver([chunk_of([0, 1, 2])])
    assert delivery.bulk.sent == [[0, 1, 2]] * 5
    assert delivery.pauses_s == [1, 2, 4, 8]
    assert delivery.ledger.indexed == 3


def test_requests_that_fail_together_count_as_one_failure(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(fails_first(5, unanswered), max_in_flight=4)
    delivery.deliver(*[[chunk_of([n])] for n in range(4)])
    assert delivery.pauses_s == [1, 2]


def test_after_an_outage_the_pauses_begin_anew(delivery_of: DeliveryOf) -> None:
    outages = [False, True, True, False, True, False]

    def script(ids: list[int]) -> Answer:
        return unanswered(ids) if outages.pop(0) else indexes_all(ids)

    delivery = delivery_of(script, max_in_flight=1)
    delivery.deliver(*[[chunk_of([n])] for n in range(3)])
    assert delivery.pauses_s == [1, 2, 1]


def test_while_requests_fail_one_at_a_time_looks(delivery_of: DeliveryOf) -> None:
    delivery = delivery_of(fails_first(10, unanswered), max_in_flight=4)
    delivery.deliver(*[[chunk_of([n])] for n in range(12)])
    assert delivery.bulk.in_flight_seen[:4] == [1, 2, 3, 4]
    assert set(delivery.bulk.in_flight_seen[4:11]) == {1}
    assert delivery.ledger.indexed == 12


def test_no_batch_is_tried_while_a_small_question_gets_no_answer(
    delivery_of: DeliveryOf,
) -> None:
    delivery = delivery_of(fails_first(1, unanswered))
    answers = iter([False, False, True])
    delivery.bulk.is_there = lambda: next(answers)
    delivery.deliver([chunk_of([0, 1])])
    assert delivery.bulk.sent == [[0, 1]] * 2
    assert delivery.pauses_s == [1, 2, 4]


def test_it_is_failing_from_the_first_failure_to_the_next_success(
    delivery_of: DeliveryOf,
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
def test_no_more_requests_than_max_in_flight(delivery_of: DeliveryOf, places: int) -> None:
    delivery = delivery_of(indexes_all, max_in_flight=places)
    delivery.deliver(*[[chunk_of([n])] for n in range(10)])
    assert max(delivery.bulk.in_flight_seen) == places
    assert delivery.board.read(metrics.BULK_IN_FLIGHT) == {"": [0]}

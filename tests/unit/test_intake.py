"""An intake tells once, when all of its documents have their outcome."""

from typing import Any

import pytest

from ingest.errors import RequestError, Unavailable
from ingest.intake import LISTED_MAX, Intake
from ingest.model import Ack, Rejection, Target


def route(document: dict[str, Any], line: bytes) -> Target:
    raise AssertionError("nothing is routed here")


def intake_of(in_memory: int, ack: Ack = "indexed", *, is_read: bool = True) -> Intake:
    intake = Intake(ack, route)
    intake.received = intake.in_memory = in_memory
    intake.is_read = is_read
    return intake


def rejections(count: int) -> list[Rejection]:
    return [Rejection(n, "t", "r") for n in range(count)]


def test_it_tells_once_when_the_last_document_is_settled() -> None:
    intake, told = intake_of(3), list[int]()
    intake.when_done(lambda: told.append(intake.in_memory))
    intake.settle(2)
    assert told == []
    intake.settle(1)
    assert told == [0]
    intake.settle(0)
    assert told == [0]


def test_it_tells_at_once_where_all_is_settled_already() -> None:
    told: list[bool] = []
    intake_of(0).when_done(lambda: told.append(True))
    assert told == [True]


def test_a_memory_ack_waits_for_nothing_but_the_body() -> None:
    intake = intake_of(3, "memory", is_read=False)
    assert not intake.is_done
    intake.is_read = True
    assert intake.is_done


def test_a_durable_ack_waits_for_the_disk_only() -> None:
    intake, told = intake_of(4, "durable"), list[int]()
    intake.uncommitted = 4
    intake.when_done(lambda: told.append(intake.committed))
    intake.commit(range(3), None)
    assert (told, intake.is_done) == ([], False)
    intake.commit([7], None)
    assert told == [4]
    assert intake.committed_position == 8
    assert intake.in_memory == 4


def test_what_is_proven_ends_with_the_first_failure() -> None:
    """What comes behind a gap can not be told as a position to go on from."""
    intake, told = intake_of(6, "durable"), list[RequestError | None]()
    intake.uncommitted = 6
    intake.when_done(lambda: told.append(intake.error))
    first, second = Unavailable("first"), Unavailable("second")
    intake.commit(range(2), None)
    intake.commit(range(2, 4), first)
    intake.commit(range(4, 5), None)
    intake.commit(range(5, 6), second)
    assert told == [first]
    assert (intake.committed, intake.committed_position) == (2, 2)


def test_it_does_not_tell_before_the_body_is_read() -> None:
    intake, told = intake_of(1, is_read=False), list[bool]()
    intake.when_done(lambda: told.append(True))
    intake.settle(1)
    assert told == []


def test_nobody_is_told_who_has_stopped_waiting() -> None:
    intake, told = intake_of(1), list[bool]()
    intake.when_done(lambda: told.append(True))
    intake.when_done(None)
    intake.settle(1)
    assert told == []


def test_a_dead_letter_is_settled_and_told() -> None:
    intake, told = intake_of(2), list[list[int]]()
    intake.when_done(lambda: told.append([each.position for each in intake.failures]))
    intake.settle(1)
    intake.fail(Rejection(1, "t", "r"))
    assert told == [[1]]
    assert intake.accepted == 2


@pytest.mark.parametrize("ack", ["memory", "durable"])
def test_dead_letters_after_the_answer_are_not_gathered(ack: Ack) -> None:
    intake = intake_of(1, ack)
    intake.fail(Rejection(0, "t", "r"))
    assert (intake.failures, intake.in_memory) == ([], 0)


def test_refused_documents_are_not_accepted() -> None:
    intake = intake_of(5)
    intake.reject(rejections(2))
    assert (intake.accepted, intake.rejected) == (3, 2)


def test_what_is_gathered_is_bounded_by_what_can_be_listed() -> None:
    intake = intake_of(10 * LISTED_MAX)
    for _ in range(3):
        intake.reject(rejections(LISTED_MAX))
    for rejection in rejections(LISTED_MAX):
        intake.fail(rejection)
    assert len(intake.failures) == LISTED_MAX + 1
    assert intake.rejected == 3 * LISTED_MAX
    assert intake.in_memory == 9 * LISTED_MAX

"""Every answer is compared with the post: no wrong count, status or position goes unnoticed."""

import json
from typing import Any

import pytest

from loadtest.posts import Post
from loadtest.verdicts import Verdict, judge

FLAWLESS = Post(b"", 3)
TWO_REFUSED = Post(b"", 3, refused=(0, 2))
ALL_REFUSED = Post(b"", 1, refused=(0,))
UNKNOWN = Post(b"", 3, refused=None)
UNREADABLE = Post(b"[", 1, is_unreadable=True)


def answer(received: int, *refused: int, ack: str = "memory", **changes: Any) -> dict[str, Any]:
    return {
        "ack": ack,
        "received": received,
        "accepted": received - len(refused),
        "rejected": len(refused),
        "trimmed": 0,
        "errors": bool(refused),
        "items": [{"position": position, "status": 400} for position in refused],
        **changes,
    }


def verdict(
    post: Post, status: int, content: dict[str, Any], retry_after: str | None = None
) -> Verdict:
    return judge(post, status, retry_after, json.dumps(content).encode())


@pytest.mark.parametrize(
    ("post", "status", "content"),
    [
        pytest.param(FLAWLESS, 202, answer(3), id="accepted"),
        pytest.param(FLAWLESS, 200, answer(3, ack="indexed"), id="indexed"),
        pytest.param(TWO_REFUSED, 202, answer(3, 0, 2), id="partly-refused"),
        pytest.param(ALL_REFUSED, 400, answer(1, 0), id="all-refused"),
        pytest.param(UNKNOWN, 202, answer(3, 1), id="nobody-knows"),
        pytest.param(UNREADABLE, 400, {"error": {"type": "malformed_json"}}, id="unreadable"),
    ],
)
def test_the_right_answer_is_no_failure(post: Post, status: int, content: dict[str, Any]) -> None:
    found = verdict(post, status, content)
    assert (found.outcome, found.failure) == ("answered", "")
    assert found.accepted == content.get("accepted", 0)


@pytest.mark.parametrize(
    ("post", "status", "content", "failure"),
    [
        pytest.param(FLAWLESS, 202, answer(2), "received 2 of 3", id="too-few"),
        pytest.param(FLAWLESS, 202, answer(4), "received 4 of 3", id="too-many"),
        pytest.param(FLAWLESS, 202, answer(3, 1), "rejected 1, not 0", id="good-one-refused"),
        pytest.param(TWO_REFUSED, 202, answer(3), "rejected 0, not 2", id="bad-ones-taken"),
        pytest.param(
            TWO_REFUSED,
            202,
            answer(3, 0, 1),
            "1 documents failed that nothing is wrong with",
            id="other-position",
        ),
        pytest.param(
            UNKNOWN,
            202,
            answer(3, accepted=2),
            "received 3, but accepted 2 and rejected 0",
            id="one-is-missing",
        ),
        pytest.param(FLAWLESS, 200, answer(3), "status 200 with 3 accepted", id="wrong-status"),
        pytest.param(ALL_REFUSED, 202, answer(1, 0), "status 202 with 0 accepted", id="not-400"),
        pytest.param(
            TWO_REFUSED,
            202,
            answer(3, 0, 2, errors=False),
            "errors is False with 2 rejected",
            id="errors-unsaid",
        ),
        pytest.param(
            FLAWLESS,
            413,
            {"error": {"type": "body_too_large"}},
            "status 413: body_too_large",
            id="request-error",
        ),
        pytest.param(
            UNREADABLE, 202, answer(1), "status 202 for a body that can't be read", id="taken"
        ),
    ],
)
def test_a_wrong_answer_says_what_is_wrong(
    post: Post, status: int, content: dict[str, Any], failure: str
) -> None:
    assert verdict(post, status, content).failure == failure


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]"])
def test_what_is_not_an_answer_of_the_service_is_a_failure(content: bytes) -> None:
    assert judge(FLAWLESS, 502, None, content).failure.startswith("status 502: ")


def test_shedding_is_no_failure_and_tells_how_long_to_wait() -> None:
    refusal = {"error": {"type": "overloaded"}, "accepted": 1, "rejected": 1, "next_position": 2}
    assert verdict(FLAWLESS, 429, refusal, "3") == Verdict(
        "shed", received=2, accepted=1, rejected=1, retry_after_s=3.0
    )


def test_shedding_must_say_when_to_come_again() -> None:
    found = verdict(FLAWLESS, 429, {"error": {"type": "overloaded"}})
    assert found.failure == "status 429 without Retry-After"


def test_documents_without_an_outcome_yet_are_pending_and_accepted() -> None:
    refusal = {"error": {"type": "unavailable"}, "received": 3, "rejected": 0, "pending": 2}
    found = verdict(FLAWLESS, 503, refusal, "1")
    assert (found.outcome, found.received, found.accepted) == ("pending", 3, 3)

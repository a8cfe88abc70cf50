"""The answers' one shape."""

from typing import Any

import orjson
import pytest

import ingest.supervision.debug  # noqa: F401 - it has errors of its own
from ingest.errors import BodyTooLarge, RequestError, Shed
from ingest.http.answers import documents_answer, error_answer, http_answer
from ingest.intake import LISTED_MAX
from ingest.model import Ack, Rejection


def failures(count: int) -> list[Rejection]:
    return [Rejection(n, "malformed_json", "why", 400) for n in range(count)]


@pytest.mark.parametrize(("ack", "status"), [("memory", 202), ("durable", 202), ("indexed", 200)])
def test_a_flawless_answer_has_the_shape_of_any_other(ack: Ack, status: int) -> None:
    code, body = documents_answer(ack, 1000, 0, 3, [])
    assert code == status
    assert orjson.loads(body) == {
        "ack": ack,
        "received": 1000,
        "accepted": 1000,
        "rejected": 0,
        "trimmed": 3,
        "errors": False,
        "items": [],
    }


def test_refused_documents_are_listed() -> None:
    rejection = Rejection(17, "malformed_json", 'a "reason"\n', 400)
    code, body = documents_answer("memory", 1000, 1, 0, [rejection])
    assert code == 202
    assert orjson.loads(body) == {
        "ack": "memory",
        "received": 1000,
        "accepted": 999,
        "rejected": 1,
        "trimmed": 0,
        "errors": True,
        "items": [
            {
                "position": 17,
                "status": 400,
                "error": {"type": "malformed_json", "reason": 'a "reason"\n'},
            }
        ],
    }


@pytest.mark.parametrize("ack", ["memory", "indexed"])
def test_nothing_accepted_is_400(ack: Ack) -> None:
    assert documents_answer(ack, 2, 2, 0, failures(2))[0] == 400


def test_dead_letters_were_accepted() -> None:
    code, body = documents_answer("indexed", 2, 0, 0, failures(2))
    assert code == 200
    content = orjson.loads(body)
    assert (content["accepted"], content["rejected"], content["errors"]) == (2, 0, True)


@pytest.mark.parametrize(
    ("count", "listed", "truncated"),
    [
        (LISTED_MAX - 1, LISTED_MAX - 1, None),
        (LISTED_MAX, LISTED_MAX, None),
        (LISTED_MAX + 1, LISTED_MAX, True),
    ],
)
def test_the_first_thousand_are_listed(count: int, listed: int, truncated: bool | None) -> None:
    content = orjson.loads(documents_answer("memory", 5000, count, 0, failures(count))[1])
    assert len(content["items"]) == listed
    assert content.get("items_truncated") is truncated


def test_error_answers_tell_type_reason_and_status() -> None:
    assert orjson.loads(error_answer(BodyTooLarge("too large"), accepted=3, next_position=4)) == {
        "error": {"type": "body_too_large", "reason": "too large"},
        "status": 413,
        "accepted": 3,
        "next_position": 4,
    }


def test_an_error_may_have_a_type_of_its_own() -> None:
    content = orjson.loads(error_answer(RequestError("r", type="invalid_ack")))
    assert content == {"error": {"type": "invalid_ack", "reason": "r"}, "status": 400}


def split(answer: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def test_an_answer_on_the_wire() -> None:
    answer = http_answer(202, b"{}", b"date: today\r\n", keep_alive=True)
    lines, body = split(answer)
    assert lines[0] == b"HTTP/1.1 202 Accepted"
    assert set(lines[1:]) == {
        b"content-type: application/json",
        b"content-length: 2",
        b"date: today",
    }
    assert body == b"{}"


def test_a_last_answer_says_so_and_a_shed_one_when_to_come_again() -> None:
    error = Shed("full")
    lines, _ = split(
        http_answer(429, b"", b"", keep_alive=False, retry_after_s=error.retry_after_s)
    )
    assert lines[0].startswith(b"HTTP/1.1 429 ")
    assert b"connection: close" in lines
    assert b"retry-after: 1" in lines


def every_error(error: type[RequestError] = RequestError) -> list[Any]:
    return [error, *(each for child in error.__subclasses__() for each in every_error(child))]


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.__name__)
def test_every_error_has_a_status_line(error: type[RequestError]) -> None:
    lines, _ = split(http_answer(error.status, b"", b"", keep_alive=True))
    assert lines[0].startswith(b"HTTP/1.1 %d " % error.status)

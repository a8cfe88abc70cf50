"""What bulk answers say, told by answers of a real Elasticsearch."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from ingest.delivery.bulk_response import (
    Fate,
    Item,
    UnreadableAnswer,
    is_flawless,
    read_error,
    read_items,
)

CAPTURES = Path(__file__).parents[2] / "data" / "captures"


def capture(name: str) -> bytes:
    return (CAPTURES / f"{name}.json").read_bytes()


def fates(items: list[Item]) -> list[tuple[int, int, Fate, str]]:
    return [(item.index, item.status, item.fate, item.error_type) for item in items]


PARSING = "document_parsing_exception"
CAPTURED: list[tuple[str, int, list[tuple[int, int, str, str]]]] = [
    ("bad-index-name", 2, [(0, 400, "dead_letter", "invalid_index_name_exception")]),
    ("bad-json-doc", 3, [(1, 400, "dead_letter", PARSING)]),
    ("create-conflict", 2, [(1, 409, "duplicate", "version_conflict_engine_exception")]),
    (
        "data-stream",
        3,
        [
            (1, 400, "dead_letter", "illegal_argument_exception"),
            (2, 400, "dead_letter", PARSING),
        ],
    ),
    ("flood-stage-block", 1, [(0, 429, "again", "cluster_block_exception")]),
    ("write-block", 1, [(0, 403, "again", "cluster_block_exception")]),
    ("immense-term", 3, [(1, 400, "dead_letter", PARSING)]),
    ("mapping-conflict", 2, [(1, 400, "dead_letter", PARSING)]),
    ("id-empty", 2, [(0, 400, "dead_letter", "illegal_argument_exception")]),
]


@pytest.mark.parametrize(("name", "count", "expected"), CAPTURED, ids=[c[0] for c in CAPTURED])
def test_items_of_real_answers(
    name: str, count: int, expected: list[tuple[int, int, str, str]]
) -> None:
    answer = capture(name)
    assert not is_flawless(answer, count)
    assert fates(read_items(answer, count)) == expected


@pytest.mark.parametrize("name", [case[0] for case in CAPTURED])
@pytest.mark.parametrize("difference", [-1, 1])
def test_an_answer_for_another_number_of_documents_is_unreadable(
    name: str, difference: int
) -> None:
    count = len(orjson.loads(capture(name))["items"]) + difference
    with pytest.raises(UnreadableAnswer, match=f"for {count} documents"):
        read_items(capture(name), count)


def test_the_error_chain_is_kept() -> None:
    [item] = read_items(capture("immense-term"), 3)
    assert "immense term" in item.error["caused_by"]["reason"]
    assert item.reason.startswith("[1:7] failed to parse field [k]")


REFUSED = [
    ("no-newline", "illegal_argument_exception", "must be terminated by a newline"),
    ("bad-action", "illegal_argument_exception", "Malformed action/metadata line [3]"),
    ("empty-body", "parse_exception", "request body is required"),
    ("id-513-bytes", "action_request_validation_exception", "512"),
    ("missing-index", "index_not_found_exception", "no such index"),
    ("bad-content-type", "error", "Content-Type header [text/plain] is not supported"),
]


@pytest.mark.parametrize(("name", "type", "reason"), REFUSED, ids=[case[0] for case in REFUSED])
def test_errors_of_refused_requests(name: str, type: str, reason: str) -> None:
    error = read_error(capture(name))
    assert error["type"] == type
    assert reason in error["reason"]


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b"1", b"{}", b'{"error":null}', b'{"error":{"type"', b"\xff"]
)
def test_an_error_that_can_not_be_read_is_empty(answer: bytes) -> None:
    assert read_error(answer) == {}


@pytest.mark.parametrize(
    "items",
    [
        pytest.param("null", id="null"),
        pytest.param("7", id="a number"),
        pytest.param('"x"', id="a text"),
        pytest.param('{"create":{"status":201}}', id="an object"),
        pytest.param("[null]", id="item null"),
        pytest.param("[[]]", id="item array"),
        pytest.param("[{}]", id="item empty"),
        pytest.param('[{"create":null}]', id="result null"),
        pytest.param('[{"create":"x"}]', id="result text"),
        pytest.param('[{"create":[1]}]', id="result array"),
        pytest.param('[{"create":{}}]', id="no status"),
        pytest.param('[{"create":{"status":null}}]', id="status null"),
        pytest.param('[{"create":{"status":"gone"}}]', id="status text"),
        pytest.param('[{"create":{"status":[201]}}]', id="status array"),
    ],
)
def test_items_of_another_shape_are_unreadable(items: str) -> None:
    answer = f'{{"errors":true,"took":1,"items":{items}}}'.encode()
    assert not is_flawless(answer, 1)
    with pytest.raises(UnreadableAnswer):
        read_items(answer, 1)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>login</html>", b"[]", b"null", b'{"errors":false}', b'{"items"', b"\xff"],
)
def test_what_is_no_bulk_answer_is_unreadable(answer: bytes) -> None:
    assert not is_flawless(answer, 1)
    with pytest.raises(UnreadableAnswer):
        read_items(answer, 1)


def of_one(result: dict[str, Any]) -> bytes:
    return orjson.dumps({"errors": "error" in result, "took": 1, "items": [{"create": result}]})


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (400, "dead_letter"),
        (413, "dead_letter"),
        (409, "duplicate"),
        *[(status, "again") for status in (401, 403, 404, 408, 429, 500, 502, 503, 504)],
    ],
)
def test_statuses_decide(status: int, fate: Fate) -> None:
    [item] = read_items(of_one({"status": status, "error": {"type": "t", "reason": "r"}}), 1)
    assert item == Item(0, status, fate, {"type": "t", "reason": "r"})


@pytest.mark.parametrize("failure_store", ["used", "failed"])
def test_the_failure_store_is_seen_in_an_answer_without_errors(failure_store: str) -> None:
    answer = of_one({"status": 201, "failure_store": failure_store})
    assert not is_flawless(answer, 1)
    [item] = read_items(answer, 1)
    assert item.fate == "failure_store"


@pytest.mark.parametrize("state", ["not_applicable_or_unknown", "not_enabled"])
def test_other_states_of_the_failure_store_are_flawless(state: str) -> None:
    answer = of_one({"status": 201, "failure_store": state})
    assert is_flawless(answer, 1)
    assert read_items(answer, 1) == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, {}),
        ({}, {}),
        ("plain", {"type": "error", "reason": "plain"}),
        (["x"], {"type": "error", "reason": "['x']"}),
    ],
)
def test_an_error_is_always_an_object(error: object, expected: dict[str, str]) -> None:
    [item] = read_items(of_one({"status": 400, "error": error}), 1)
    assert item.error == expected


def test_an_error_without_words_has_some() -> None:
    item = Item(0, 400, "dead_letter", {})
    assert (item.error_type, item.reason) == ("unknown", "no reason given")

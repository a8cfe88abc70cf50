"""The peek at an answer never says more than reading it would."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.delivery.bulk_response import UnreadableAnswer, is_flawless, read_error, read_items

TRAPS = [
    '"status":201',
    '{"create":{"status":201}}',
    '"errors":false',
    '{"took":0,"errors":false,"items":[',
    '"failure_store":"used"',
    '\\"status\\":201',
]
texts = st.text(max_size=10) | st.lists(st.sampled_from(TRAPS), max_size=3).map("".join)
indexed: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"status": st.sampled_from([200, 201])},
    optional={"failure_store": st.sampled_from(["used", "failed", "not_enabled"]), "_id": texts},
)
errors = st.fixed_dictionaries(
    {"type": texts, "reason": texts},
    optional={"caused_by": st.fixed_dictionaries({"type": texts, "reason": texts})},
)
failed: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"status": st.sampled_from([400, 403, 404, 409, 413, 429, 500, 503]), "error": errors}
)
actions = st.sampled_from(["create", "index"])


def answer_of(results: list[dict[str, Any]], action: str, *, took_first: bool) -> bytes:
    has_errors = any("error" in result for result in results)
    head = {"took": 7, "errors": has_errors} if took_first else {"errors": has_errors, "took": 7}
    items = [{action: result} for result in results]
    return json.dumps({**head, "items": items}, separators=(",", ":")).encode()


def is_simply_indexed(result: dict[str, Any]) -> bool:
    is_stored = result.get("failure_store") in ("used", "failed")
    return result["status"] in (200, 201) and not is_stored


@given(st.lists(indexed | failed, max_size=6), actions, st.booleans())
def test_peek_and_reading_agree_on_whole_answers(
    results: list[dict[str, Any]], action: str, took_first: bool
) -> None:
    answer = answer_of(results, action, took_first=took_first)
    items = read_items(answer, len(results))
    assert [item.index for item in items] == [
        index for index, result in enumerate(results) if not is_simply_indexed(result)
    ]
    assert is_flawless(answer, len(results)) == (not items)
    for item in items:
        assert item.status == results[item.index]["status"]
        assert item.error == results[item.index].get("error", {})


@given(st.lists(indexed | failed, min_size=1, max_size=4), st.data())
def test_a_cut_answer_is_never_flawless_where_the_whole_is_not(
    results: list[dict[str, Any]], data: st.DataObject
) -> None:
    answer = answer_of(results, "create", took_first=False)
    cut = answer[: data.draw(st.integers(0, len(answer) - 1))]
    with pytest.raises(UnreadableAnswer):
        read_items(cut, len(results))
    assert not is_flawless(cut, len(results)) or all(map(is_simply_indexed, results))


@given(st.lists(indexed | failed, max_size=5), st.integers(0, 8))
def test_answers_for_another_number_of_documents_are_neither(
    results: list[dict[str, Any]], count: int
) -> None:
    if count == len(results):
        return
    answer = answer_of(results, "create", took_first=False)
    assert not is_flawless(answer, count)
    with pytest.raises(UnreadableAnswer):
        read_items(answer, count)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["items", "create", "status", "error", "errors"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(json_values, st.integers(1, 3))
def test_any_json_is_read_or_unreadable(content: Any, count: int) -> None:
    answer = orjson.dumps(content)
    try:
        items = read_items(answer, count)
    except UnreadableAnswer:
        assert not is_flawless(answer, count)
    else:
        assert all(isinstance(item.error, dict) and isinstance(item.status, int) for item in items)
    assert isinstance(read_error(answer), dict)


@given(st.binary(max_size=60))
def test_any_bytes_are_unreadable(answer: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        read_items(answer, 1)
    assert not is_flawless(answer, 1)
    assert read_error(answer) == {}

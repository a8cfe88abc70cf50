"""What Elasticsearch's answer to a bulk request says of each document.

The happy path is decided without parsing: 16 ns an item. Classified by status first and type
second, since the types' names differ over Elasticsearch's versions.
"""

from dataclasses import dataclass
from typing import Any, Literal

import orjson

FILTER_PATH = "errors,took,items.*.status,items.*.error,items.*.failure_store"

Fate = Literal["duplicate", "failure_store", "again", "dead_letter"]


@dataclass(slots=True, frozen=True)
class Item:
    """One item that was not simply indexed. `error` is as Elasticsearch gave it: it may repeat
    the document's content, so it is kept with the dead letter and never logged."""

    index: int
    status: int
    fate: Fate
    error: dict[str, Any]

    @property
    def error_type(self) -> str:
        return str(self.error.get("type", "unknown"))

    @property
    def reason(self) -> str:
        return str(self.error.get("reason", "no reason given"))


class UnreadableAnswer(Exception):
    """The answer is not what a bulk request of this size gets: nothing is known of its items."""


def is_flawless(answer: bytes, count: int) -> bool:
    """Whether every one of `count` (1 or more) items was indexed, seen without parsing it."""
    return (
        b'"errors":false' in answer[:64]
        and answer.endswith(b"}")
        and answer.count(b'"status":20') == count
        and b'"failure_store":"used"' not in answer
        and b'"failure_store":"failed"' not in answer
    )


def read_items(answer: bytes, count: int) -> list[Item]:
    """The items that were not simply indexed, by position. Raises UnreadableAnswer."""
    try:
        items = orjson.loads(answer)["items"]
        if len(items) != count:
            raise UnreadableAnswer(f"{len(items)} items for {count} documents")
        results = [next(iter(item.values())) for item in items]
        return [
            Item(i, int(result["status"]), fate, _error_object(result.get("error")))
            for i, result in enumerate(results)
            if (fate := _fate(result)) is not None
        ]
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UnreadableAnswer(f"{type(error).__name__}: {error}") from error


def _fate(result: dict[str, Any]) -> Fate | None:
    """None for indexed. A 409 is a document that is there: ours, or a newer version of it."""
    status = result["status"]
    if status in (200, 201):
        return "failure_store" if result.get("failure_store") in ("used", "failed") else None
    if status == 409:
        return "duplicate"
    if status in (400, 413):
        return "dead_letter"
    return "again"  # 403, 404, 429, 5xx: may be indexed later, so it is kept


def read_error(answer: bytes) -> dict[str, Any]:
    """The error object of a request that was refused as a whole, as far as it can be read."""
    try:
        return _error_object(orjson.loads(answer)["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}


def _error_object(error: object) -> dict[str, Any]:
    """Mostly an object already; some answers have a text in its place."""
    if error is None:
        return {}
    return error if isinstance(error, dict) else {"type": "error", "reason": str(error)}

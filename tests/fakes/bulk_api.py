"""`_bulk`: reads the operations, applies them and answers, with the script's items in between."""

from typing import Any

from tests.fakes.bulk_body import Operation, Refusal, read_operations
from tests.fakes.http_server import Answer, Head
from tests.fakes.indices import Indices
from tests.fakes.json_answers import json_answer
from tests.fakes.script import Item, Step

Json = dict[str, Any]
MEDIA_TYPES = frozenset(
    {
        "application/json",
        "application/x-ndjson",
        "application/vnd.elasticsearch+json",
        "application/vnd.elasticsearch+x-ndjson",
    }
)


class BulkApi:
    """Applies bulk requests to `indices`."""

    def __init__(self, indices: Indices) -> None:
        self._indices = indices

    def answer(self, head: Head, body: bytes, step: Step) -> tuple[Answer, list[Operation]]:
        """The answer, and the operations that were read (none where the body is refused)."""
        media_type = head.headers.get("content-type", "")
        if media_type.split(";")[0].strip().lower() not in MEDIA_TYPES:
            reason = f"Content-Type header [{media_type}] is not supported"
            return json_answer(head, 406, {"error": reason, "status": 406}), []
        try:
            operations = read_operations(body, _default_index(head))
        except Refusal as refusal:
            answer = (
                json_answer(head, refusal.status, refusal.body)
                if step.status is None
                else step.answer()
            )
            return answer, []
        items = self._apply(operations, step) if step.applies else []
        if step.status is not None:
            return step.answer(), operations
        has_errors = any("error" in entry for item in items for entry in item.values())
        return json_answer(head, 200, {"errors": has_errors, "took": 0, "items": items}), operations

    def _apply(self, operations: list[Operation], step: Step) -> list[Json]:
        items = [self._item(n, operation, step) for n, operation in enumerate(operations)]
        if step.items_delta < 0:
            return items[: step.items_delta]
        return items + items[-1:] * step.items_delta

    def _item(self, position: int, operation: Operation, step: Step) -> Json:
        scripted = _scripted_item(position, operation, step)
        if scripted is None:
            return {operation.action: self._indices.apply(operation)}
        if scripted.is_stored:
            self._indices.apply(operation)
        return {operation.action: _entry(operation, scripted)}


def _default_index(head: Head) -> str | None:
    return head.path.strip("/").removesuffix("_bulk").strip("/") or None


def _scripted_item(position: int, operation: Operation, step: Step) -> Item | None:
    if step.items is None:
        return None
    if callable(step.items):
        return step.items(position, operation, operation.source)
    return step.items.get(position)


def _entry(operation: Operation, item: Item) -> Json:
    entry: Json = {"_index": operation.index, "_id": operation.id}
    if item.error is None:
        entry |= {"_version": 1, "result": "created", "_seq_no": 0, "_primary_term": 1}
    if item.failure_store:
        entry["failure_store"] = item.failure_store
    entry["status"] = item.status
    if item.error is not None:
        entry["error"] = item.error
    return entry

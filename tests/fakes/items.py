"""The entries of a bulk answer's `items`, in the shapes that a node gives them."""

from typing import Any

import orjson

from tests.fakes.bulk_body import Operation, json_error_types
from tests.fakes.fields import Unfit

Json = dict[str, Any]


def refused(operation: Operation, status: int, type: str, reason: str, **details: Any) -> Json:
    """Refused before it came to a shard."""
    error = {"type": type, "reason": reason, **details}
    return {"_index": operation.index, "_id": operation.id, "status": status, "error": error}


def invalid_name(operation: Operation, reason: str) -> Json:
    details = {"index_uuid": "_na_", "index": operation.index}
    return refused(operation, 400, "invalid_index_name_exception", reason, **details)


def only_create(operation: Operation, *, is_missing: bool) -> Json:
    """Any action but `create` on a data stream, which it doesn't make if it `is_missing` yet."""
    reason = "only write ops with an op_type of create are allowed in data streams"
    item = refused(operation, 400, "illegal_argument_exception", reason)
    if is_missing:
        item["error"]["caused_by"] = {
            "type": "index_not_found_exception",
            "reason": f"no such index [{operation.index}]",
            "resource.type": "index_or_alias",
            "excluded_ds": "true",
            "resource.id": operation.index,
            "index_uuid": "_na_",
            "index": operation.index,
        }
    return item


def blocked(operation: Operation, backing_name: str, *, is_flood: bool) -> Json:
    status, block = 403, "FORBIDDEN/8/index write (api)"
    if is_flood:
        status = 429
        block = (
            "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, "
            "index has read-only-allow-delete block"
        )
    reason = f"index [{backing_name}] blocked by: [{block}];"
    return refused(operation, status, "cluster_block_exception", reason)


def empty_id(operation: Operation) -> Json:
    reason = "if _id is specified it must not be empty"
    return refused(operation, 400, "illegal_argument_exception", reason)


def shard_failure(
    operation: Operation, status: int, type: str, reason: str, index: str, uuid: str
) -> Json:
    """Refused by the shard that holds the id: a conflict, a missing document."""
    details = {"index_uuid": uuid, "shard": "0", "index": index}
    return {**refused(operation, status, type, reason, **details), "_index": index}


def unparsable(index: str, id: str, reason: str, *causes: str) -> Json:
    """The document can't be read; `causes` are the types of what caused what, outermost first."""
    error: Json = {"type": "document_parsing_exception", "reason": reason}
    innermost = error
    for cause in causes:
        text = reason.removeprefix("[1:1] failed to parse: ")
        innermost["caused_by"] = {"type": cause, "reason": text}
        innermost = innermost["caused_by"]
    return {"_index": index, "_id": id, "status": 400, "error": error}


def not_json(index: str, id: str, error: orjson.JSONDecodeError) -> Json:
    reason = f"[1:1] failed to parse: {error.msg}"
    return unparsable(index, id, reason, *json_error_types(error))


def unfit_value(index: str, id: str, unfit: Unfit) -> Json:
    item = unparsable(index, id, unfit.reason, "illegal_argument_exception")
    item["error"]["reason"] = (
        f"[1:1] failed to parse field [{unfit.field.name}] of type [{unfit.field.type}] in "
        f"document with id '{id}'. Preview of field's value: '{unfit.value}'"
    )
    return item

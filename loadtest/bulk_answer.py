"""The answer to a bulk request whose every document was created, as `filter_path` leaves it."""

import json
from fnmatch import fnmatchcase
from functools import lru_cache

# one full item, as of a fresh document in an index with a single shard
_ITEM: dict[str, object] = {
    "_index": "sink",
    "_id": "0",
    "_version": 1,
    "result": "created",
    "_shards": {"total": 1, "successful": 1, "failed": 0},
    "_seq_no": 0,
    "_primary_term": 1,
    "status": 201,
}


@lru_cache(maxsize=64)
def bulk_answer(count: int, action: str, filter_path: str) -> bytes:
    """The JSON for `count` created documents, in full where `filter_path` is empty."""
    patterns = filter_path.split(",") if filter_path else ["*"]
    parts = []
    if _is_kept("errors", patterns):
        parts.append(b'"errors":false')
    if _is_kept("took", patterns):
        parts.append(b'"took":1')
    kept = {
        key: value for key, value in _ITEM.items() if _is_kept(f"items.{action}.{key}", patterns)
    }
    if kept:
        item = json.dumps({action: kept}, separators=(",", ":")).encode()
        parts.append(b'"items":[' + b",".join([item] * count) + b"]")
    return b"{" + b",".join(parts) + b"}"


def _is_kept(path: str, patterns: list[str]) -> bool:
    """As Elasticsearch does it: a pattern that names an object keeps all that is in it."""
    return any(
        fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}.*") for pattern in patterns
    )

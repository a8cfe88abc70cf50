"""What a scripted Elasticsearch shall do with the next request: a `Step`, made of `Item`s.

    es.script(refuse(429), answer_items({3: rejected()}), reset("after_body"), slow(2))
    es.set_default(Step(delay_answer_s=0.05))

A request takes one step; without one it takes the default, which behaves as a healthy node does.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from tests.fakes.bulk_body import Operation
from tests.fakes.http_server import Answer

Moment = Literal["before_body", "during_body", "after_body", "during_answer"]
FOREVER = None


@dataclass(slots=True, frozen=True)
class Item:
    """One scripted entry of `items`. `error` None is a success.

    `is_stored` says whether the document is kept although the item fails, as happens when
    a primary took it and the answer says otherwise. `failure_store` is copied into the item.
    """

    status: int
    error: Mapping[str, Any] | None = None
    failure_store: str | None = None
    is_stored: bool = False


ItemScript = Mapping[int, Item] | Callable[[int, Operation, bytes], Item | None]
"""By position, or a function of (position, operation, source); None means: behave normally."""


@dataclass(slots=True, frozen=True, kw_only=True)
class Step:
    """The fate of one request (`times` = n requests, `FOREVER` = all that follow).

    `status` refuses the whole request with `body` and `headers`. `is_applied` says whether the
    documents are indexed nevertheless; by default they are, unless the request is refused or the
    connection is reset before its body was read. `reset="after_body"` thus is a lost answer.
    `items_delta` drops (< 0) or repeats (> 0) entries at the end of `items`.
    """

    items: ItemScript | None = None
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_applied: bool | None = None
    delay_reading_s: float = 0
    delay_answer_s: float = 0
    delay_middle_s: float = 0
    reset: Moment | None = None
    is_cut: bool = False
    items_delta: int = 0
    gzip: bool = False
    times: int | None = 1

    @property
    def applies(self) -> bool:
        return self.status is None if self.is_applied is None else self.is_applied

    def answer(self) -> Answer:
        """The refusal of the whole request."""
        return Answer(self.status or 200, self.body, self.headers)


class Script:
    """The steps still to come for one kind of request, and the default after them."""

    def __init__(self) -> None:
        self.default = Step()
        self._steps: deque[tuple[Step, int | None]] = deque()

    def add(self, *steps: Step) -> None:
        self._steps.extend((step, step.times) for step in steps)

    def next_step(self) -> Step:
        if not self._steps:
            return self.default
        step, left = self._steps.popleft()
        if left is None or left > 1:
            self._steps.appendleft((step, None if left is None else left - 1))
        return step

    def clear(self) -> None:
        self._steps.clear()


def answer_items(items: ItemScript, *, times: int | None = 1) -> Step:
    """A 200 whose entries are as scripted."""
    return Step(items=items, times=times)


def refuse(status: int, *, times: int | None = 1, is_applied: bool = False) -> Step:
    """Refuses the whole request as a node does (400, 401, 403, 413, 429), or a proxy before it."""
    body, headers = _refusal(status)
    return Step(status=status, body=body, headers=headers, times=times, is_applied=is_applied)


def reset(moment: Moment, *, times: int | None = 1) -> Step:
    """Resets the connection; documents are indexed from "after_body" on."""
    return Step(reset=moment, times=times)


def slow(answer_s: float, *, times: int | None = 1) -> Step:
    """Indexes at once and answers late: with a client time-out before it, a lost answer."""
    return Step(delay_answer_s=answer_s, times=times)


def rejected() -> Item:
    """429: the write queue was full."""
    return Item(429, _error("es_rejected_execution_exception", "rejected execution of primary"))


def breaker_tripped() -> Item:
    """429: not enough heap at the moment."""
    return Item(429, _error("circuit_breaking_exception", "[parent] Data too large"))


def write_blocked(index: str) -> Item:
    """403: somebody put a write block on the index."""
    reason = f"index [{index}] blocked by: [FORBIDDEN/8/index write (api)];"
    return Item(403, _error("cluster_block_exception", reason))


def flood_stage(index: str) -> Item:
    """429 that can last for hours: the disk is over its last watermark."""
    reason = (
        f"index [{index}] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage "
        "watermark, index has read-only-allow-delete block];"
    )
    return Item(429, _error("cluster_block_exception", reason))


def unavailable_shards(index: str) -> Item:
    """503: no primary shard is active."""
    reason = f"[{index}][0] primary shard is not active Timeout: [1m]"
    return Item(503, _error("unavailable_shards_exception", reason))


def forbidden(index: str) -> Item:
    """403: the credentials may not write there."""
    reason = (
        f"action [indices:data/write/bulk[s]] is unauthorized for user [x] on indices [{index}]"
    )
    return Item(403, _error("security_exception", reason))


def unparsable(reason: str = "[1:7] failed to parse field [n] of type [long]") -> Item:
    """400: this document never fits this mapping."""
    return Item(400, _error("document_parsing_exception", reason))


def failure_store_used() -> Item:
    """201 that isn't indexed: the document went to the failure store of its data stream."""
    return Item(201, failure_store="used")


def _error(type: str, reason: str) -> dict[str, str]:
    return {"type": type, "reason": reason}


JSON_HEADERS = {"X-elastic-product": "Elasticsearch", "content-type": "application/json"}
HTML_HEADERS = {"content-type": "text/html"}
WHOLE_REQUEST_ERRORS = {
    400: ("illegal_argument_exception", "Malformed action/metadata line [1]"),
    401: ("security_exception", "unable to authenticate with provided credentials"),
    403: ("security_exception", "action [indices:data/write/bulk] is unauthorized"),
    429: ("es_rejected_execution_exception", "rejected execution of coordinating operation"),
}


def _refusal(status: int) -> tuple[bytes, dict[str, str]]:
    if status == 413:
        return b"", {}
    if status not in WHOLE_REQUEST_ERRORS:
        return f"<html><body><h1>{status}</h1></body></html>".encode(), HTML_HEADERS
    error = _error(*WHOLE_REQUEST_ERRORS[status])
    body = {"error": {"root_cause": [error], **error}, "status": status}
    headers = JSON_HEADERS
    if status == 401:
        headers = {**headers, "WWW-Authenticate": 'Basic realm="security", charset="UTF-8"'}
    return orjson.dumps(body), headers

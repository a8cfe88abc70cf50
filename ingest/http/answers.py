"""Every answer of the ingest port: one shape, one place. See the README, "What the answer says"."""

import http
from collections.abc import Sequence

import orjson

from ingest.errors import RequestError
from ingest.intake import LISTED_MAX
from ingest.model import Ack, Rejection

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in http.HTTPStatus
}
_FLAWLESS = (
    b'{"ack":"%s","received":%d,"accepted":%d,"rejected":0,"trimmed":%d,"errors":false,"items":[]}'
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def documents_answer(
    ack: Ack, received: int, rejected: int, trimmed: int, failures: Sequence[Rejection]
) -> tuple[int, bytes]:
    """Status and body for a request whose body was read to its end.

    `failures` are the documents that were refused or, with `indexed`, became dead letters; of
    the refused ones at most LISTED_MAX + 1 need be given. `rejected` counts the refused.
    """
    accepted = received - rejected
    status = 400 if not accepted else 200 if ack == "indexed" else 202
    if not failures:
        return status, _FLAWLESS % (ack.encode(), received, accepted, trimmed)
    content: dict[str, object] = {
        "ack": ack,
        "received": received,
        "accepted": accepted,
        "rejected": rejected,
        "trimmed": trimmed,
        "errors": True,
        "items": [_item(each) for each in failures[:LISTED_MAX]],
    }
    if len(failures) > LISTED_MAX:
        content["items_truncated"] = True
    return status, orjson.dumps(content)


def error_answer(error: RequestError, **partly: object) -> bytes:
    """Body for a refused request; `partly` says what was accepted before (`accepted`, …)."""
    content = {"error": {"type": error.kind, "reason": error.reason}, "status": error.status}
    return orjson.dumps({**content, **partly})


def http_answer(
    status: int,
    body: bytes,
    server_headers: bytes,
    *,
    keep_alive: bool,
    retry_after_s: int | None = None,
) -> bytes:
    """The bytes on the wire, head and body in one piece."""
    head = b"%scontent-type: application/json\r\ncontent-length: %d\r\n%s" % (
        _STATUS_LINES[status],
        len(body),
        server_headers,
    )
    if retry_after_s is not None:
        head += b"retry-after: %d\r\n" % retry_after_s
    if not keep_alive:
        head += b"connection: close\r\n"
    return head + b"\r\n" + body


def _item(rejection: Rejection) -> dict[str, object]:
    return {
        "position": rejection.position,
        "status": rejection.status,
        "error": {"type": rejection.type, "reason": rejection.reason},
    }

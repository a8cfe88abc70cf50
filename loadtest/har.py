"""A recorded HAR file as load (HTTP Archive 1.2, as browsers and proxies export it).

Two things in a recording make posts:
- a request with an NDJSON or JSON body is sent again, byte for byte;
- a response whose content is longer than a term may be becomes an oversized document.

A HAR holds bodies decompressed and as text, so posts go uncompressed; binary ones are base64.
Paths of this service (`/ingest…`) are kept with their query, all others become `/ingest`.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest.corpus import TERM_LIMIT_BYTES
from loadtest.posts import JSON, NDJSON, Post

_NDJSON_TYPES = (NDJSON, "application/ndjson", "application/jsonl")

Entry = dict[str, Any]


def posts(path: Path) -> list[Post]:
    """In the order of the recording. Raises OSError, or ValueError for what isn't a HAR or holds
    nothing to post."""
    try:
        entries = json.loads(path.read_bytes())["log"]["entries"]
        found = [post for entry in entries for post in _posts_of(entry)]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a HAR file: {error!r}") from error
    if not found:
        raise ValueError(f"{path}: no request holds documents, and no response is huge")
    return found


def _posts_of(entry: Entry) -> Iterator[Post]:
    recorded = _recorded_post(entry["request"])
    if recorded is not None and recorded.documents:
        yield recorded
    content = _bytes(entry["response"].get("content", {}))
    if len(content) > TERM_LIMIT_BYTES:
        # refused is None: beyond max_document_bytes it must be refused, and here nobody knows that
        yield Post(_document(entry, content), 1, refused=None)


def _recorded_post(request: Entry) -> Post | None:
    """The request, where its body is of a kind that the service reads."""
    sent = request.get("postData", {})
    body, media = _bytes(sent), sent.get("mimeType", "").partition(";")[0].strip().lower()
    path = _path(request["url"])
    if media in _NDJSON_TYPES:
        lines = sum(not line.isspace() for line in body.split(b"\n") if line)
        return Post(body, lines, refused=None, media=media, path=path)
    if media == JSON and body.strip():
        documents, is_unreadable = _array_length(body)
        return Post(
            body, documents, refused=None, is_unreadable=is_unreadable, media=JSON, path=path
        )
    return None


def _array_length(body: bytes) -> tuple[int, bool]:
    """How many documents an `application/json` body holds, and whether it is a broken array."""
    try:
        value = json.loads(body)
    except ValueError:
        return 1, body.lstrip().startswith(b"[")
    return (len(value), False) if isinstance(value, list) else (1, False)


def _path(url: str) -> str:
    parts = urlsplit(url)
    if parts.path != "/ingest" and not parts.path.startswith("/ingest/"):
        return "/ingest"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _bytes(content: Entry) -> bytes:
    text: str = content.get("text", "")
    return base64.b64decode(text) if content.get("encoding") == "base64" else text.encode()


def _document(entry: Entry, content: bytes) -> bytes:
    request, response = entry["request"], entry["response"]
    document = {
        "@timestamp": entry["startedDateTime"],
        "service": {"name": urlsplit(request["url"]).hostname or "unknown"},
        "message": f"{request['method']} {request['url'][:1000]} answered {response['status']}",
        "http": {
            "request": {"method": request["method"]},
            "response": {
                "status_code": response["status"],
                "body": {"bytes": len(content), "content": content.decode(errors="replace")},
            },
        },
    }
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"

"""The bytes of a POST, made once, and the answers to it, read piece by piece."""

import gzip
import json
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

import httptools


def prepared_request(
    url: str, body: bytes, query: Sequence[tuple[str, str]] = (), compressed: bool = False
) -> bytes:
    """Head and body of one POST; to `/ingest` where the URL has no path."""
    parts = urlsplit(url)
    path = parts.path if parts.path not in ("", "/") else "/ingest"
    if compressed:
        body = gzip.compress(body, compresslevel=1, mtime=0)
    head = [
        f"POST {path}{'?' + urlencode(query) if query else ''} HTTP/1.1",
        f"host: {parts.netloc}",
        "content-type: application/x-ndjson",
        *(["content-encoding: gzip"] if compressed else []),
        f"content-length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


class Answer:
    """One HTTP answer, fed piece by piece; raises `httptools.HttpParserError` for anything else."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self.is_complete = False
        self.keeps_alive = True
        self.retry_after_s = 0.0
        self.status = 0

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():
            self.retry_after_s = float(value)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self.keeps_alive = self._parser.should_keep_alive()
        self.is_complete = True

    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def accepted(self) -> tuple[int, bool]:
        """How many documents the service says it accepted, and whether it lists any failure."""
        try:
            answer = json.loads(self._body)
            return int(answer["accepted"]), bool(answer.get("errors"))
        except (ValueError, TypeError, KeyError):
            return 0, True

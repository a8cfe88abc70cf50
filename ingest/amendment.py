"""The rare line that must change, or be refused, before it is sent."""

import time
from collections.abc import Callable
from typing import Any

from ingest.errors import DocumentRefused
from ingest.model import Target


class Amendment:
    """Adds a missing `@timestamp`; refuses what is too large. Called for few lines only.

    Splices: the bytes that the producer sent stay as they are, around what is put in.
    """

    def __init__(self, max_document_bytes: int, now: Callable[[], float] = time.time):
        self._max_document_bytes = max_document_bytes
        self._now = now

    def __call__(self, line: bytes, document: dict[str, Any], target: Target) -> bytes:
        if len(line) > self._max_document_bytes:
            raise DocumentRefused(
                "document_too_large",
                f"{len(line)} bytes are more than max_document_bytes ({self._max_document_bytes})",
                413,
            )
        if target.adds_timestamp and "@timestamp" not in document:
            return _with_timestamp(line, timestamp(self._now()), is_empty=not document)
        return line


def timestamp(seconds: float) -> bytes:
    """RFC 3339 in UTC with milliseconds, as Elasticsearch's `date` reads it."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z".encode()


def _with_timestamp(line: bytes, stamp: bytes, *, is_empty: bool) -> bytes:
    inside = line.index(b"{") + 1
    comma = b"" if is_empty else b","
    return b'%b"@timestamp":"%b"%b%b' % (line[:inside], stamp, comma, line[inside:])

"""The rare line that must change, or be refused, before it is sent."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ingest.errors import DocumentRefused
from ingest.model import Target
from ingest.trimmer.field_rules import FieldRules
from ingest.trimmer.trimmer import TrimmedField, trim


@dataclass(slots=True, frozen=True)
class Amended:
    """The line to send, and which of its fields were trimmed for that."""

    line: bytes
    trimmed: tuple[TrimmedField, ...] = ()


# A line that is not longer can not hold a term over Lucene's limit: a JSON escape is never
# shorter than what it stands for.
SAFE_LINE_BYTES = 32_766


class Amendment:
    """Trims oversized fields, adds a missing `@timestamp`, refuses what is too large.

    Called for few lines only. Splices: the bytes that the producer sent stay as they are, around
    what is cut out and put in. A field whose rule says `dead_letter` is left whole: Elasticsearch
    refuses the document, and it becomes a dead letter with its original bytes. Lines of up to
    `looks_beyond_bytes` need to be shown only where a target trims short ones or adds a time.
    """

    def __init__(
        self,
        max_document_bytes: int,
        rules_for: Callable[[str], FieldRules],
        now: Callable[[], float] = time.time,
    ):
        self._max_document_bytes = max_document_bytes
        self.looks_beyond_bytes = min(SAFE_LINE_BYTES, max_document_bytes)
        self._rules_for = rules_for
        self._now = now

    def amend(self, line: bytes, document: dict[str, Any], target: Target) -> Amended:
        """Raises DocumentRefused for a document over `max_document_bytes`."""
        if len(line) > self._max_document_bytes:
            raise DocumentRefused(
                "document_too_large",
                f"{len(line)} bytes are more than max_document_bytes ({self._max_document_bytes})",
                413,
            )
        trimmed = trim(line, document, self._rules_for(target.name))
        if trimmed is not None and trimmed.dead_letter is None:
            line = trimmed.line
        if target.adds_timestamp and "@timestamp" not in document:
            line = _with_timestamp(line, timestamp(self._now()))
        return Amended(line, trimmed.fields if trimmed is not None else ())


def timestamp(seconds: float) -> bytes:
    """RFC 3339 in UTC with milliseconds, as Elasticsearch's `date` reads it."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z".encode()


def _with_timestamp(line: bytes, stamp: bytes) -> bytes:
    inside = line.index(b"{") + 1
    rest = line[inside:]
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return b'%b"@timestamp":"%b"%b%b' % (line[:inside], stamp, comma, rest)

"""Gathers chunks of many requests into batches: decisive for small posts.

A batch leaves when it would grow beyond `flush_bytes`, has `flush_documents`, or when its first
chunk has waited `flush_interval_s`. A bulk request of the batcher is never larger than
`flush_bytes`, but for a single chunk that is.
"""

from collections.abc import Callable
from typing import Protocol

from ingest.chunk import Chunk


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Batcher:
    """Chunks in, batches (lists of chunks) out, by size, count and age."""

    def __init__(
        self,
        send: Callable[[list[Chunk]], None],
        call_later: Callable[[float, Callable[[], None]], Cancellable],
        *,
        flush_bytes: int,
        flush_documents: int,
        flush_interval_s: float,
    ):
        self._send = send
        self._call_later = call_later
        self._flush_bytes = flush_bytes
        self._flush_documents = flush_documents
        self._flush_interval_s = flush_interval_s
        self._batch: list[Chunk] = []
        self._bytes = 0
        self._documents = 0
        self._timer: Cancellable | None = None

    def add(self, chunk: Chunk) -> None:
        if self._bytes + len(chunk.bulk) > self._flush_bytes:
            self.flush()
        self._batch.append(chunk)
        self._bytes += len(chunk.bulk)
        self._documents += chunk.count
        if self._bytes >= self._flush_bytes or self._documents >= self._flush_documents:
            self.flush()
        elif self._timer is None:
            self._timer = self._call_later(self._flush_interval_s, self.flush)

    def flush(self) -> None:
        """Send what there is, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batch:
            batch, self._batch = self._batch, []
            self._bytes = self._documents = 0
            self._send(batch)

"""A body on its way through one reused buffer.

    socket or decompressor ─▶ buffer ─▶ window of complete lines ─▶ pipeline
                                └─ the unfinished tail moves to the front, reading goes on

So an NDJSON body of any length needs one buffer. An array or a pretty-printed object must fit
into it. A line that does not fit is refused and skipped up to its line break.

The body owns its buffer from `__init__` to `close`; windows are lent for the length of a call.
"""

from typing import Protocol

from ingest.backpressure import Backpressure, Buffer
from ingest.decompression import Decompressor
from ingest.errors import BodyTooLarge, DocumentRefused


class Sink(Protocol):
    """Takes what a body is made of, in order."""

    def take_lines(self, window: memoryview | bytes) -> None:
        """Complete NDJSON lines (the last may lack its line break at the body's end)."""

    def take_json(self, body: memoryview | bytes) -> None:
        """The whole of an `application/json` body."""

    def refuse_line(self, refusal: DocumentRefused) -> None:
        """The next line can not be taken at all."""


class Body:
    """Reads one body into `buffer`. `feed` and `advance` raise RequestError, `close` never does."""

    def __init__(
        self,
        buffer: Buffer,
        backpressure: Backpressure,
        sink: Sink,
        *,
        is_json: bool,
        decompressor: Decompressor | None = None,
    ):
        self._buffer: Buffer | None = buffer
        self._memory = buffer.memory
        self._view = buffer.view
        self._backpressure = backpressure
        self._sink = sink
        self._is_json = is_json
        self._decompressor = decompressor
        self._unread = b""
        self._filled = 0
        self._is_skipping = False

    @property
    def is_blocked(self) -> bool:
        """No room for what this body would hand on: stop reading until there is."""
        return not self._backpressure.has_room

    @property
    def space(self) -> memoryview:
        """Where the kernel may put the next bytes; never empty between calls."""
        return self._view[self._filled :]

    def advance(self, count: int) -> None:
        """`count` bytes were put into `space`."""
        self._filled += count
        if self._filled == len(self._memory):
            self.hand_on()

    def feed(self, received: bytes) -> None:
        """Bytes that are not in the buffer yet: decompress or copy them as far as there is room."""
        if self._decompressor is not None:
            self._decompressor.feed(received)
        else:
            self._unread = self._unread + received if self._unread else received
        self.pump()

    def pump(self) -> None:
        """Go on with what was fed, until all of it is read or the body is blocked."""
        while not self.is_blocked:
            piece = self._next_piece(len(self._memory) - self._filled)
            if not piece:
                return
            self._view[self._filled : self._filled + len(piece)] = piece
            self.advance(len(piece))

    def _next_piece(self, max_length: int) -> bytes:
        if self._decompressor is not None:
            return self._decompressor.read(max_length)
        piece, self._unread = self._unread[:max_length], self._unread[max_length:]
        return piece

    def hand_on(self) -> None:
        """Give the complete lines to the pipeline and keep the tail."""
        if self._is_json:
            if self._filled < len(self._memory):
                return
            raise BodyTooLarge(
                f"an application/json body must be smaller than a buffer ({len(self._memory)} "
                "bytes, buffer_bytes); send application/x-ndjson, one document a line, of any "
                "length"
            )
        start = self._skipped()
        end = self._memory.rfind(b"\n", start, self._filled) + 1
        if end > start:
            self._sink.take_lines(self._view[start:end])
        self._keep_tail(max(start, end))

    def finish(self) -> None:
        """The last byte has arrived: hand on all that is left."""
        if self._decompressor is not None:
            self._decompressor.finish()
        if self._is_json:
            self._sink.take_json(self._view[: self._filled])
        else:
            start = self._skipped()
            if start < self._filled:
                self._sink.take_lines(self._view[start : self._filled])
        self._filled = 0

    def close(self) -> None:
        """Give the buffer back; safe to call again."""
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            self._backpressure.give_back(buffer)

    def _skipped(self) -> int:
        """Where the first byte stands that does not belong to a line that is being skipped."""
        if not self._is_skipping:
            return 0
        start = self._memory.find(b"\n", 0, self._filled) + 1
        if not start:
            return self._filled
        self._is_skipping = False
        return start

    def _keep_tail(self, start: int) -> None:
        length = self._filled - start
        if start and length:
            self._view[:length] = self._view[start : self._filled]
        self._filled = length
        if length == len(self._memory):
            self._sink.refuse_line(
                DocumentRefused(
                    "document_too_large",
                    f"the line is longer than a buffer ({length} bytes)",
                    413,
                )
            )
            self._is_skipping = True
            self._filled = 0

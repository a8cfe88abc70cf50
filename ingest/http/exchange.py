"""One request to /ingest: its head, its body as far as it came, its documents, its answer."""

from ingest.body import Body
from ingest.decompression import Decompressor
from ingest.errors import BodyTooLarge, DocumentRefused, RequestError
from ingest.head import ChunkedFraming, Head
from ingest.http.answers import documents_answer, error_answer
from ingest.http.listener import Listener
from ingest.intake import Intake


class Exchange:
    """Reads one body and knows how to answer. Owns a buffer from `try_start` to `end_body`.

    It has no clock and no connection: when to read, wait and answer is the hot door's business.
    """

    def __init__(self, listener: Listener, head: Head, received: bytes):
        self.head = head
        self.held = received  # arrived and not read: of the body, or behind it once that is read
        self.started = listener.clock()
        self.received_bytes = 0
        self.intake: Intake | None = None
        self._settings = listener.settings
        self._pipeline = listener.pipeline
        self._backpressure = listener.backpressure
        self._body: Body | None = None
        self._left = head.content_length
        self._reserved_bytes = 0
        self._framing = ChunkedFraming() if head.content_length is None else None

    # beginning

    def open(self) -> None:
        """Raises RequestError where the head alone is reason enough."""
        self.intake = self._pipeline.open(self.head)
        buffer_bytes = self._settings.buffer_bytes
        length = self.head.content_length or 0
        self._check_length(length)
        if self.head.media == "json" and not self.head.encoding and length >= buffer_bytes:
            raise BodyTooLarge(
                f"an application/json body of {length} bytes is not smaller than a buffer "
                f"({buffer_bytes} bytes, buffer_bytes); send application/x-ndjson, one document "
                "a line, of any length"
            )

    def try_take_whole(self) -> bool:
        """The common small post: all of a plain body is here already and needs no buffer."""
        length = self._left
        if length is None or length > len(self.held) or self.head.encoding:
            return False
        if not self._backpressure.has_room or self._backpressure.is_contended:
            return False
        self._reserve(length)
        body, self.held = self.held[:length], self.held[length:]
        self.received_bytes = length
        self._left = 0
        if self.head.media == "json":
            self.take_json(body)
        else:
            self.take_lines(body)
        return True

    def try_start(self) -> bool:
        """Take a buffer and begin to read, where there is one and room for what it will hold."""
        if not self._backpressure.has_room:
            return False
        buffer = self._backpressure.try_take_buffer()
        if buffer is None:
            return False
        try:
            self._reserve(self.head.content_length or self._settings.buffer_bytes)
        except RequestError:
            self._backpressure.give_back(buffer)
            raise
        decompressor = None
        if self.head.encoding:
            settings = self._settings
            decompressor = Decompressor(
                self.head.encoding, settings.max_body_bytes, settings.max_decompression_ratio
            )
        self._body = Body(
            buffer,
            self._backpressure,
            self,
            is_json=self.head.media == "json",
            decompressor=decompressor,
        )
        return True

    # the body

    @property
    def is_started(self) -> bool:
        return self._body is not None

    @property
    def is_complete(self) -> bool:
        """All bytes of the body have arrived."""
        return self._framing.is_complete if self._framing is not None else self._left == 0

    @property
    def is_blocked(self) -> bool:
        return self._body is not None and self._body.is_blocked

    @property
    def is_direct(self) -> bool:
        """Whether the kernel may write the body straight into the buffer."""
        return self._body is not None and self._framing is None and not self.head.encoding

    @property
    def space(self) -> memoryview:
        assert self._body is not None
        return self._body.space[: self._left]

    def advance(self, count: int) -> None:
        """The kernel put `count` bytes into `space`."""
        assert self._body is not None
        assert self._left is not None
        self.received_bytes += count
        self._left -= count
        self._body.advance(count)

    def read(self) -> None:
        """Read what is held of this body, as far as there is room. Raises RequestError."""
        assert self._body is not None
        for piece in self._taken():
            self.received_bytes += len(piece)
            self._check_length(self.received_bytes)
            self._body.feed(piece)

    def read_on(self) -> None:
        """Go on after a wait, first with bytes that were taken before and had no room."""
        assert self._body is not None
        self._body.pump()
        self.read()

    def _taken(self) -> list[bytes]:
        """The body's share of what is held; what comes after its end stays held."""
        if self._framing is not None:
            pieces, self.held = self._framing.feed(self.held)
            return pieces
        assert self._left is not None
        piece, self.held = self.held[: self._left], self.held[self._left :]
        self._left -= len(piece)
        return [piece]

    def _check_length(self, length: int) -> None:
        limit = self._settings.max_body_bytes
        if length > limit:
            raise BodyTooLarge(f"{length} bytes are more than max_body_bytes ({limit})")

    def hand_on(self) -> None:
        """Don't let complete lines of a slow body wait for more."""
        if self._body is not None and self.head.media == "ndjson":
            self._body.hand_on()

    def finish(self) -> None:
        """The body is complete and read. Raises RequestError."""
        if self._body is not None:
            self._body.finish()
        assert self.intake is not None
        self._pipeline.close(self.intake)

    def try_skip_body(self) -> bool:
        """Drop what is left of the body; False where that has not arrived, or has no known end."""
        left = 0 if self.is_complete else self._left
        if left is None or left > len(self.held):
            return False
        self.held = self.held[left:]
        return True

    def end_body(self) -> None:
        """Give the buffer back; safe to call again."""
        if self._body is not None:
            self._body.close()
            self._body = None
        if self._reserved_bytes:
            self._pipeline.release(self._reserved_bytes)
            self._reserved_bytes = 0

    def _reserve(self, size_bytes: int) -> None:
        """Room in the spool; encoded, a body grows by its action lines."""
        assert self.intake is not None
        size_bytes += size_bytes // 2
        if self._pipeline.reserve(self.intake, size_bytes):
            self._reserved_bytes = size_bytes

    # what a body is made of (body.Sink)

    def take_lines(self, window: memoryview | bytes) -> None:
        assert self.intake is not None
        self._pipeline.take_lines(self.intake, window)

    def take_json(self, body: memoryview | bytes) -> None:
        assert self.intake is not None
        self._pipeline.take_json(self.intake, body)

    def refuse_line(self, refusal: DocumentRefused) -> None:
        assert self.intake is not None
        self._pipeline.refuse_line(self.intake, refusal)

    # the answer

    def answer(self) -> tuple[int, bytes]:
        """Status and body for documents that were read to their end. Raises RequestError."""
        intake = self.intake
        assert intake is not None
        if intake.error is not None:
            raise intake.error.anew()
        self._pipeline.acknowledge(intake)
        return documents_answer(
            intake.ack, intake.received, intake.rejected, intake.trimmed, intake.listed_failures
        )

    def refusal(self, error: RequestError) -> tuple[int, bytes]:
        """Status and body for a request that is given up; what was handed on stays accepted."""
        intake = self.intake
        if intake is None or not intake.received or intake.error is not None:
            return error.status, error_answer(error)
        accepted, next_position = intake.accepted, intake.received
        if intake.ack == "durable":  # only what is proven; the rest may arrive all the same
            accepted, next_position = intake.committed, intake.committed_position
        self._pipeline.acknowledge(intake)
        return error.status, error_answer(
            error, accepted=accepted, rejected=intake.rejected, next_position=next_position
        )

    def pending(self, error: RequestError) -> bytes:
        """Body for documents that have no outcome yet; nobody waits for it any more."""
        intake = self.intake
        assert intake is not None
        intake.when_done(None)
        return error_answer(
            error,
            received=intake.received,
            rejected=intake.rejected,
            pending=intake.uncommitted if intake.ack == "durable" else intake.in_memory,
        )

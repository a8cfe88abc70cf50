"""The way of a document, in order. This is the only module that knows it.

    socket ─▶ body ─▶ splitter ─▶ parser ─▶ trimmer ─▶ router ─▶ encoder ─▶ spool ─▶ batcher ─▶ …
              reused                        only long            chunk of   only
              buffer                        lines                bulk bytes durable

    … batcher ─▶ bulk writer ─▶ outcomes

Everything here up to the encoder runs to its end in one turn of the event loop: plain functions,
lists in and lists out, no await.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

from ingest import metrics
from ingest.amendment import Amendment
from ingest.backpressure import Backpressure
from ingest.batcher import Batcher
from ingest.chunk import Chunk, Lot
from ingest.encoder import CHUNK_DOCUMENTS_MAX, encode
from ingest.errors import DocumentRefused, MalformedRequest
from ingest.head import Head
from ingest.intake import Intake
from ingest.model import Ack, Rejection, Target, rejection_of
from ingest.parser import Parsed, RouteDocument, parse
from ingest.scoreboard import Scoreboard
from ingest.splitter import split_json, split_lines
from ingest.spooling import Spooling


class Pipeline:
    """Takes documents out of bodies and puts them into the batcher, counting each."""

    def __init__(
        self,
        *,
        route_request: Callable[[Head], RouteDocument],
        amendment: Amendment,
        spooling: Spooling,
        batcher: Batcher,
        backpressure: Backpressure,
        scoreboard: Scoreboard,
        id_prefix: str,
        default_ack: Ack,
    ):
        self._route_request = route_request
        self._amendment = amendment
        self._spooling = spooling
        self._batcher = batcher
        self._backpressure = backpressure
        self._scoreboard = scoreboard
        self._default_ack = default_ack
        self._id_prefix = id_prefix.encode()
        self._chunks = 0  # numbered in the ids of their documents

    def open(self, head: Head) -> Intake:
        """The intake of a request. Raises RequestError where its head refuses it."""
        if head.error is not None:
            raise head.error.anew()
        ack = head.ack or self._default_ack
        return Intake(ack, self._route_request(head), _key(head))

    def reserve(self, intake: Intake, size_bytes: int) -> bool:
        """Room on disk for the body of a durable request; True if there is some to release."""
        if intake.ack != "durable":
            return False
        self._spooling.reserve(size_bytes)
        return True

    def release(self, size_bytes: int) -> None:
        """The body that room was reserved for is in the spool, or will not come."""
        self._spooling.release(size_bytes)

    def take_lines(self, intake: Intake, window: memoryview | bytes) -> None:
        self._take(intake, split_lines(window))

    def take_json(self, intake: Intake, body: memoryview | bytes) -> None:
        self._take(intake, split_json(body))

    def refuse_line(self, intake: Intake, refusal: DocumentRefused) -> None:
        """Count a line that could not even be framed."""
        rejection = rejection_of(refusal, intake.received)
        self._count(intake, received=1, rejections=[rejection])

    def close(self, intake: Intake) -> None:
        """The body was read to its end. Raises MalformedRequest where it held nothing."""
        intake.is_read = True
        if not intake.received:
            raise MalformedRequest(
                "the body holds no document: send one JSON object a line", type="empty_body"
            )

    def acknowledge(self, intake: Intake) -> None:
        """The producer is being told that its documents are accepted."""
        if intake.in_memory and intake.ack == "memory":
            ledger = self._scoreboard.ledger
            ledger.in_memory_unacked -= intake.in_memory
            ledger.in_memory_acked += intake.in_memory
            self._scoreboard.publish()
        intake.acked = intake.ack == "memory"

    def _take(self, intake: Intake, lines: list[bytes]) -> None:
        def amend(line: bytes, document: dict[str, Any], target: Target) -> bytes:
            amended = self._amendment.amend(line, document, target)
            if amended.trimmed:
                intake.trimmed += 1
                for field in {each.field for each in amended.trimmed}:
                    self._scoreboard.add(metrics.DOCUMENTS_TRIMMED, 1, field)
            return amended.line

        looks_beyond_bytes = self._amendment.looks_beyond_bytes
        for block in _blocks(lines):
            parsed = parse(block, intake.received, intake.route, amend, looks_beyond_bytes)
            self._count(intake, parsed.received, parsed.rejections)
            if parsed.lines:
                self._send(intake, parsed)

    def _send(self, intake: Intake, parsed: Parsed) -> None:
        count = len(parsed.lines)
        if intake.key is None:
            self._chunks += 1
            bulk = encode(parsed.lines, parsed.targets, b"%b%x" % (self._id_prefix, self._chunks))
        else:  # the same request sent again makes the same ids
            bulk = encode(parsed.lines, parsed.targets, intake.key, parsed.positions)
        chunk = Chunk(bulk, count, Lot(intake, count), range(count), parsed.positions)
        chunk.originals = parsed.originals
        self._backpressure.hold(chunk.held_bytes)
        if intake.ack == "durable":
            self._spooling.append(chunk, intake)
        else:
            self._batcher.add(chunk)

    def _count(self, intake: Intake, received: int, rejections: list[Rejection]) -> None:
        kept = received - len(rejections)
        intake.received += received
        intake.in_memory += kept
        if rejections:
            intake.reject(rejections)
        ledger = self._scoreboard.ledger
        ledger.received += received
        ledger.rejected += len(rejections)
        ledger.in_memory_unacked += kept
        self._scoreboard.publish()


def _blocks(lines: list[bytes]) -> Iterable[list[bytes]]:
    if len(lines) <= CHUNK_DOCUMENTS_MAX:
        return (lines,)
    starts = range(0, len(lines), CHUNK_DOCUMENTS_MAX)
    return (lines[start : start + CHUNK_DOCUMENTS_MAX] for start in starts)


def _key(head: Head) -> bytes | None:
    """The part of the ids that an `Idempotency-Key` fixes; the position is the other."""
    key = head.headers.get("idempotency-key")
    if key is None:
        return None
    producer = head.headers.get("ingest-producer", "")
    digest = blake2b(f"{producer}\0{key}".encode(), digest_size=16).digest()
    return urlsafe_b64encode(digest).rstrip(b"=")

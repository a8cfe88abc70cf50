"""The way of documents up to the batcher: counted once, in order, never more than is told."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest

from ingest import metrics
from ingest.amendment import Amendment
from ingest.answers import ITEMS_MAX
from ingest.backpressure import Backpressure
from ingest.batcher import Batcher
from ingest.chunk import Chunk
from ingest.composition import Composed
from ingest.encoder import CHUNK_DOCUMENTS_MAX
from ingest.errors import DocumentRefused, MalformedRequest, RequestError, UnsupportedMedia
from ingest.field_rules import FieldRules
from ingest.head import Head, HeadReader
from ingest.intake import Intake
from ingest.model import Ack
from ingest.pipeline import Pipeline
from ingest.router.router import Router
from ingest.scoreboard import Ledger, Scoreboard
from tests.delivery_rig import open_scoreboard

MAPPING = {"properties": {"tag": {"type": "keyword"}}}


class NoTimer:
    def cancel(self) -> None:
        pass


class Rig:
    """A pipeline whose batcher sends each chunk at once."""

    def __init__(self, board: Scoreboard, *, max_document_bytes: int = 100_000):
        self.board = board
        self.room = Backpressure(1, 16, 1 << 30, lambda wake: None)
        self.chunks: list[Chunk] = []
        rules = FieldRules(Composed("t", MAPPING, {}), [], "ingest")
        router = Router()
        batcher = Batcher(
            self.chunks.extend,
            lambda after_s, callback: NoTimer(),
            flush_bytes=1,
            flush_documents=1,
            flush_interval_s=1.0,
        )
        self.pipeline = Pipeline(
            route_request=lambda head: router.for_request(
                head.path, head.route_name, head.query, head.headers
            ),
            amendment=Amendment(max_document_bytes, lambda target: rules, lambda: 0.0),
            batcher=batcher,
            backpressure=self.room,
            scoreboard=board,
            id_prefix="W",
            default_ack="memory",
        )

    def open(self, target: str = "/ingest?index=plain") -> Intake:
        return self.pipeline.open(head_of(target))

    def lines(self, intake: Intake, *lines: bytes) -> None:
        self.pipeline.take_lines(intake, b"".join(lines))
        assert self.ledger.is_balanced
        assert self.room.pending_bytes >= sum(len(chunk.bulk) for chunk in self.chunks)

    @property
    def ledger(self) -> Ledger:
        return self.board.read_ledger()

    @property
    def positions(self) -> list[int]:
        return [position for chunk in self.chunks for position in chunk.positions]

    @property
    def documents(self) -> list[Mapping[str, Any]]:
        sources = [line for chunk in self.chunks for line in chunk.bulk.split(b"\n")[1::2]]
        return [orjson.loads(source) for source in sources]

    @property
    def ids(self) -> list[str]:
        actions = [line for chunk in self.chunks for line in chunk.bulk.split(b"\n")[0:-1:2]]
        return [orjson.loads(line)["create"]["_id"] for line in actions]


def head_of(target: str, content_type: str = "application/x-ndjson") -> Head:
    request = f"POST {target} HTTP/1.1\r\ncontent-type: {content_type}\r\n\r\n"
    return HeadReader().read(request.encode())


@pytest.fixture
def rig() -> Iterator[Rig]:
    with open_scoreboard() as board:
        yield Rig(board)


# Opening


def test_the_ack_level_is_the_requests_or_the_default(rig: Rig) -> None:
    assert rig.open().ack == "memory"
    assert rig.open("/ingest?index=x&ack=indexed").ack == "indexed"


def test_a_refused_head_opens_nothing(rig: Rig) -> None:
    with pytest.raises(UnsupportedMedia):
        rig.pipeline.open(head_of("/ingest", "text/plain"))
    with pytest.raises(RequestError, match="no route is named"):
        rig.open("/ingest/unknown")


# Taking documents


def test_documents_are_encoded_in_order_with_their_positions(rig: Rig) -> None:
    intake = rig.open()
    rig.lines(intake, b'{"n":0}\n', b"\n", b"x\n", b'{"n":2}\r\n', b'{"n":3}')
    rig.lines(intake, b'{"n":4}\n')
    assert [document["n"] for document in rig.documents] == [0, 2, 3, 4]
    assert rig.positions == [0, 2, 3, 4]
    assert [(each.position, each.type) for each in intake.failures] == [(1, "malformed_json")]
    assert (intake.received, intake.rejected, intake.accepted) == (5, 1, 4)
    assert rig.ledger == Ledger(received=5, rejected=1, in_memory_unacked=4)
    assert rig.room.pending_bytes == sum(len(chunk.bulk) for chunk in rig.chunks)


def test_ids_are_unique_over_chunks_and_requests(rig: Rig) -> None:
    for _ in range(3):
        intake = rig.open()
        rig.lines(intake, b"{}\n" * 20)
        rig.lines(intake, b"{}\n" * 20)
    assert len(rig.ids) == len(set(rig.ids)) == 120
    assert all(each.startswith("W") for each in rig.ids)


def test_a_large_window_becomes_several_chunks(rig: Rig) -> None:
    count = 2 * CHUNK_DOCUMENTS_MAX + 5
    rig.lines(rig.open(), b"x\n", b"{}\n" * count, b"x\n")
    assert [chunk.count for chunk in rig.chunks] == [
        CHUNK_DOCUMENTS_MAX - 1,
        CHUNK_DOCUMENTS_MAX,
        6,
    ]
    assert rig.positions == list(range(1, count + 1))


def test_nothing_left_makes_no_chunk(rig: Rig) -> None:
    intake = rig.open()
    rig.lines(intake, b"x\n\n[]\n")
    assert rig.chunks == []
    assert (intake.received, intake.rejected) == (2, 2)
    rig.pipeline.close(intake)


def test_a_line_that_can_not_be_framed_takes_its_position(rig: Rig) -> None:
    intake = rig.open()
    rig.lines(intake, b"{}\n")
    rig.pipeline.refuse_line(intake, DocumentRefused("document_too_large", "r", 413))
    rig.lines(intake, b"{}\n")
    assert rig.positions == [0, 2]
    assert [(each.position, each.status) for each in intake.failures] == [(1, 413)]
    assert rig.ledger == Ledger(received=3, rejected=1, in_memory_unacked=2)


def test_an_array_is_taken_like_lines(rig: Rig) -> None:
    intake = rig.open()
    rig.pipeline.take_json(intake, b'[{"n":\n0}, 1, {"n":2}]')
    assert rig.positions == [0, 2]
    assert [each.type for each in intake.failures] == ["not_an_object"]


def test_a_broken_array_takes_nothing(rig: Rig) -> None:
    intake = rig.open()
    with pytest.raises(MalformedRequest):
        rig.pipeline.take_json(intake, b'[{"n":0}, {"n":1}')
    assert rig.ledger == Ledger()
    assert rig.chunks == []


@pytest.mark.parametrize("size", [200, 5_000, 32_766, 32_767, 60_000])
def test_max_document_bytes_holds_whatever_it_is(size: int) -> None:
    """A limit under 32,766 bytes, too, where other lines need no look."""
    line = b'{"m":"' + b"x" * (size - 9) + b'"}\n'
    assert len(line) == size
    with open_scoreboard() as board:
        rig = Rig(board, max_document_bytes=size - 1)
        intake = rig.open()
        rig.lines(intake, b"{}\n", line, b"{}\n")
        assert [(each.position, each.status) for each in intake.failures] == [(1, 413)]


def test_missing_timestamps_are_added_where_streams_want_one(rig: Rig) -> None:
    rig.lines(rig.open("/ingest"), b"{}\n", b'{"@timestamp":5}\n')
    assert [each["@timestamp"] for each in rig.documents] == ["1970-01-01T00:00:00.000Z", 5]


def test_a_trimmed_document_is_counted_and_kept_as_it_was(rig: Rig) -> None:
    intake = rig.open()
    long = b'{"tag":"' + b"x" * 40_000 + b'"}\n'
    rig.lines(intake, b"x\n", b"{}\n", long)
    assert intake.trimmed == 1
    assert rig.board.read(metrics.DOCUMENTS_TRIMMED) == {"tag": [1]}
    [chunk] = rig.chunks
    assert dict(chunk.originals) == {1: long}


def test_what_is_kept_in_memory_is_held_against_the_budget(rig: Rig) -> None:
    long = b'{"tag":"' + b"x" * 90_000 + b'"}\n'
    rig.pipeline.take_lines(rig.open(), long)
    [chunk] = rig.chunks
    kept = len(chunk.bulk) + sum(map(len, chunk.originals.values()))
    assert rig.room.pending_bytes >= kept


def test_refusals_that_are_kept_are_bounded(rig: Rig) -> None:
    intake = rig.open()
    rig.lines(intake, b"x\n" * (2 * CHUNK_DOCUMENTS_MAX))
    assert intake.rejected == 2 * CHUNK_DOCUMENTS_MAX
    assert len(intake.failures) == ITEMS_MAX + 1


# The end of a request


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\n"])
def test_a_body_without_documents_is_refused(rig: Rig, body: bytes) -> None:
    intake = rig.open()
    rig.lines(intake, body)
    with pytest.raises(MalformedRequest) as refusal:
        rig.pipeline.close(intake)
    assert refusal.value.kind == "empty_body"


@pytest.mark.parametrize("ack", ["memory", "indexed"])
def test_documents_are_unacked_until_the_answer(rig: Rig, ack: Ack) -> None:
    intake = rig.open(f"/ingest?index=x&ack={ack}")
    rig.lines(intake, b"{}\n" * 3)
    assert rig.ledger == Ledger(received=3, in_memory_unacked=3)
    assert not intake.acked
    rig.pipeline.acknowledge(intake)
    assert rig.ledger == Ledger(received=3, in_memory_acked=3)
    assert intake.acked


def test_the_answer_moves_what_is_still_in_memory(rig: Rig) -> None:
    first, second = rig.open(), rig.open()
    rig.lines(first, b"{}\n" * 3)
    rig.lines(second, b"{}\n" * 4)
    ledger = rig.board.ledger
    ledger.indexed += 1
    ledger.in_memory_unacked -= 1
    first.settle(1)
    rig.pipeline.acknowledge(first)
    assert rig.ledger == Ledger(received=7, indexed=1, in_memory_acked=2, in_memory_unacked=4)

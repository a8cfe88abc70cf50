"""The way of documents up to the batcher: counted once, in order, never more than is told."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from ingest import metrics
from ingest.amendment import Amendment
from ingest.encoder import CHUNK_DOCUMENTS_MAX
from ingest.errors import DocumentRefused, MalformedRequest, RequestError, UnsupportedMedia
from ingest.head import Head, HeadReader
from ingest.intake import LISTED_MAX, Intake
from ingest.model import Ack
from ingest.pipeline import Pipeline
from ingest.router.router import Router
from ingest.scoreboard import Ledger, Scoreboard
from ingest.trimmer.composition import Composed
from ingest.trimmer.field_rules import FieldRules
from tests.delivery_rig import open_scoreboard
from tests.spooling_rig import SpoolingRig

MAPPING = {"properties": {"tag": {"type": "keyword"}}}


class Rig(SpoolingRig):
    """A pipeline whose batcher sends each chunk at once."""

    def __init__(self, board: Scoreboard, data_dir: Path, *, max_document_bytes: int = 100_000):
        super().__init__(board, data_dir)
        rules = FieldRules(Composed("t", MAPPING, {}), [], "ingest")
        router = Router()
        self.pipeline = Pipeline(
            route_request=lambda head: router.for_request(
                head.path, head.route_name, head.query, head.headers
            ),
            amendment=Amendment(max_document_bytes, lambda target: rules, lambda: 0.0),
            spooling=self.spooling,
            batcher=self.batcher,
            backpressure=self.room,
            scoreboard=board,
            id_prefix="W",
            default_ack="memory",
        )

    def open(self, target: str = "/ingest?index=plain") -> Intake:
        return self.pipeline.open(head_of(target))

    def open_named(self, key: str, producer: str = "") -> Intake:
        """A request with an `Idempotency-Key`."""
        headers = f"idempotency-key: {key}\r\ningest-producer: {producer}\r\n"
        return self.pipeline.open(head_of("/ingest?index=plain", headers=headers))

    def lines(self, intake: Intake, *lines: bytes) -> None:
        self.pipeline.take_lines(intake, b"".join(lines))
        self.check()
        assert self.room.pending_bytes >= sum(chunk.held_bytes for chunk in self.chunks)

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


def head_of(target: str, content_type: str = "application/x-ndjson", headers: str = "") -> Head:
    request = f"POST {target} HTTP/1.1\r\ncontent-type: {content_type}\r\n{headers}\r\n"
    return HeadReader().read(request.encode())


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_scoreboard() as board, Rig(board, tmp_path) as rig:
        yield rig


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
    assert rig.room.pending_bytes == sum(chunk.held_bytes for chunk in rig.chunks)


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
def test_max_document_bytes_holds_whatever_it_is(tmp_path: Path, size: int) -> None:
    """A limit under 32,766 bytes, too, where other lines need no look."""
    line = b'{"m":"' + b"x" * (size - 9) + b'"}\n'
    assert len(line) == size
    with open_scoreboard() as board, Rig(board, tmp_path, max_document_bytes=size - 1) as rig:
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
    assert rig.room.pending_bytes == chunk.held_bytes > len(chunk.bulk) + len(long)


def test_refusals_that_are_kept_are_bounded(rig: Rig) -> None:
    intake = rig.open()
    rig.lines(intake, b"x\n" * (2 * CHUNK_DOCUMENTS_MAX))
    assert intake.rejected == 2 * CHUNK_DOCUMENTS_MAX
    assert len(intake.failures) == LISTED_MAX + 1


# The end of a request


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\n"])
def test_a_body_without_documents_is_refused(rig: Rig, body: bytes) -> None:
    intake = rig.open()
    rig.lines(intake, body)
    with pytest.raises(MalformedRequest) as refusal:
        rig.pipeline.close(intake)
    assert refusal.value.kind == "empty_body"


def test_documents_are_unacked_until_the_answer(rig: Rig) -> None:
    intake = rig.open()
    rig.lines(intake, b"{}\n" * 3)
    assert rig.ledger == Ledger(received=3, in_memory_unacked=3)
    assert not intake.acked
    rig.pipeline.acknowledge(intake)
    assert rig.ledger == Ledger(received=3, in_memory_acked=3)
    assert intake.acked


@pytest.mark.parametrize("ack", ["durable", "indexed"])
def test_what_is_still_in_memory_was_not_promised(rig: Rig, ack: Ack) -> None:
    """An `indexed` request that is told 503, a `durable` one whose body broke off."""
    intake = rig.open(f"/ingest?index=x&ack={ack}")
    rig.lines(intake, b"{}\n" * 3)
    rig.pipeline.acknowledge(intake)
    assert rig.ledger == Ledger(received=3, in_memory_unacked=3)
    assert not intake.acked


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


# The durable way


def test_durable_documents_are_delivered_once_they_are_on_disk(rig: Rig) -> None:
    intake = rig.open("/ingest?index=x&ack=durable")
    rig.lines(intake, b'{"n":0}\n', b"x\n", b'{"n":2}\n')
    rig.pipeline.close(intake)
    assert (rig.chunks, intake.is_done) == ([], False)
    rig.commit()
    assert intake.is_done
    assert rig.positions == [0, 2]
    assert rig.ledger == Ledger(received=3, rejected=1, spooled=2)


@pytest.mark.parametrize("ack", ["memory", "indexed"])
def test_other_documents_do_not_wait_for_the_disk(rig: Rig, ack: Ack) -> None:
    rig.lines(rig.open(f"/ingest?index=x&ack={ack}"), b"{}\n")
    assert rig.positions == [0]


@pytest.mark.parametrize("ack", ["memory", "indexed", "durable"])
def test_room_on_disk_is_reserved_for_durable_bodies_only(rig: Rig, ack: Ack) -> None:
    before = rig.spool.used_bytes
    intake = rig.open(f"/ingest?index=x&ack={ack}")
    assert rig.pipeline.reserve(intake, 1000) == (ack == "durable")
    if ack == "durable":
        assert rig.spool.used_bytes == before + 1000
        rig.pipeline.release(1000)
    assert rig.spool.used_bytes == before


# Requests with a name


def test_a_named_request_sent_again_makes_the_same_ids(rig: Rig) -> None:
    for windows in ([b"{}\n" * 2, b"x\n{}\n"], [b"{}\n{}\nx\n{}\n"]):
        intake = rig.open_named("order-7")
        for window in windows:
            rig.lines(intake, window)
    assert rig.ids[:3] == rig.ids[3:]
    assert len(set(rig.ids)) == 3
    assert rig.positions == [0, 1, 3] * 2


def test_names_are_a_producers_own(rig: Rig) -> None:
    for key, producer in (("a", ""), ("b", ""), ("a", "x"), ("a", "y"), ("ax", "")):
        rig.lines(rig.open_named(key, producer), b"{}\n")
    assert len(set(rig.ids)) == 5

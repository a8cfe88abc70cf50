"""A body's way through one buffer: its limits, its waiting, and the buffer's return."""

import gzip

import pytest

from ingest.backpressure import Backpressure
from ingest.body import Body
from ingest.decompression import Decompressor
from ingest.errors import BodyTooLarge, DocumentRefused, MalformedRequest


class Taken:
    """A sink that keeps what it is given, and may fill the room with it."""

    def __init__(self, room: Backpressure, holds_bytes: int = 0):
        self.parts: list[bytes | DocumentRefused] = []
        self._room = room
        self._holds_bytes = holds_bytes

    def take_lines(self, window: memoryview | bytes) -> None:
        self.parts.extend(bytes(window).splitlines(keepends=True))
        self._room.hold(self._holds_bytes)

    def take_json(self, body: memoryview | bytes) -> None:
        self.parts.append(bytes(body))

    def refuse_line(self, refusal: DocumentRefused) -> None:
        self.parts.append(refusal)


class Rig:
    def __init__(
        self,
        buffer_bytes: int = 16,
        *,
        is_json: bool = False,
        encoding: str = "",
        holds_bytes: int = 0,
    ):
        self.room = Backpressure(1, buffer_bytes, 10, lambda wake: None)
        self.taken = Taken(self.room, holds_bytes)
        buffer = self.room.try_take_buffer()
        assert buffer is not None
        decompressor = Decompressor(encoding, 1000, 1000) if encoding else None
        self.body = Body(buffer, self.room, self.taken, is_json=is_json, decompressor=decompressor)

    def put(self, content: bytes) -> None:
        """As the kernel does: straight into the space."""
        while content:
            space = self.body.space
            count = min(len(space), len(content))
            space[:count] = content[:count]
            content = content[count:]
            self.body.advance(count)

    def lines(self) -> list[bytes | None]:
        """None stands for a refused line."""
        return [part if isinstance(part, bytes) else None for part in self.taken.parts]


def test_lines_are_handed_on_when_the_buffer_is_full() -> None:
    rig = Rig(buffer_bytes=8)
    rig.body.feed(b"aa\nbb\nc")
    assert rig.lines() == []
    rig.body.feed(b"c")
    assert rig.lines() == [b"aa\n", b"bb\n"]
    rig.body.finish()
    assert rig.lines() == [b"aa\n", b"bb\n", b"cc"]


def test_a_slow_bodys_complete_lines_need_not_wait() -> None:
    rig = Rig()
    rig.body.feed(b"aa\nb")
    rig.body.hand_on()
    rig.body.hand_on()
    assert rig.lines() == [b"aa\n"]
    rig.body.feed(b"b\n")
    rig.body.finish()
    assert rig.lines() == [b"aa\n", b"bb\n"]


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "fed"])
@pytest.mark.parametrize(
    ("body", "lines"),
    [
        pytest.param(b"x" * 15 + b"\n", [b"x" * 15 + b"\n"], id="just fits"),
        pytest.param(b"x" * 16 + b"\n", [None], id="one too long"),
        pytest.param(b"x" * 99 + b"\n", [None], id="much too long"),
        pytest.param(b"x" * 99, [None], id="too long, no end"),
        pytest.param(b"x" * 15, [b"x" * 15], id="last without line break"),
        pytest.param(b"a\n" + b"x" * 40 + b"\nb\n", [b"a\n", None, b"b\n"], id="between others"),
        pytest.param(b"x" * 16 + b"\nb", [None, b"b"], id="ends with the buffer"),
        pytest.param((b"x" * 20 + b"\n") * 2 + b"b\n", [None, None, b"b\n"], id="two in a row"),
        pytest.param(b"x" * 32 + b"\n\nb\n", [None, b"\n", b"b\n"], id="then a blank line"),
    ],
)
def test_a_line_over_the_buffer_is_refused_once_and_skipped(
    body: bytes, lines: list[bytes | None], direct: bool
) -> None:
    rig = Rig(buffer_bytes=16)
    (rig.put if direct else rig.body.feed)(body)
    rig.body.finish()
    assert rig.lines() == lines


def test_the_refusal_says_that_it_is_too_large() -> None:
    rig = Rig(buffer_bytes=16)
    rig.body.feed(b"x" * 20)
    [refusal] = rig.taken.parts
    assert isinstance(refusal, DocumentRefused)
    assert (refusal.type, refusal.status) == ("document_too_large", 413)


def test_json_is_handed_on_whole_at_the_end() -> None:
    rig = Rig(is_json=True)
    rig.body.feed(b"[{},\n")
    rig.body.hand_on()
    rig.body.feed(b"{}]")
    assert rig.lines() == []
    rig.body.finish()
    assert rig.lines() == [b"[{},\n{}]"]


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "fed"])
def test_json_must_be_smaller_than_the_buffer(direct: bool) -> None:
    fits, full = Rig(is_json=True), Rig(is_json=True)
    (fits.put if direct else fits.body.feed)(b"[" + b" " * 13 + b"]")
    fits.body.finish()
    assert fits.lines() == [b"[" + b" " * 13 + b"]"]
    with pytest.raises(BodyTooLarge):
        (full.put if direct else full.body.feed)(b"[" + b" " * 14 + b"]")


def test_a_blocked_body_takes_no_more_and_goes_on_later() -> None:
    rig = Rig(buffer_bytes=4, holds_bytes=10)
    rig.body.feed(b"a\nb\nc\nd\ne\nf\n")
    assert rig.body.is_blocked
    assert rig.lines() == [b"a\n", b"b\n"]
    rig.body.pump()
    assert rig.lines() == [b"a\n", b"b\n"]
    rig.room.release(10)
    rig.body.pump()
    assert rig.lines() == [b"a\n", b"b\n", b"c\n", b"d\n"]
    rig.body.feed(b"g\n")
    rig.room.release(10)
    rig.body.pump()
    rig.room.release(10)
    rig.body.pump()
    rig.body.finish()
    assert rig.lines() == [b"%c\n" % letter for letter in b"abcdefg"]


def test_a_blocked_compressed_body_goes_on_later() -> None:
    rig = Rig(buffer_bytes=4, encoding="gzip", holds_bytes=10)
    rig.body.feed(gzip.compress(b"a\nb\n" * 5))
    for _ in range(5):
        assert rig.body.is_blocked
        rig.room.release(10)
        rig.body.pump()
    rig.body.finish()
    assert rig.lines() == [b"a\n", b"b\n"] * 5


def test_a_compressed_body_that_is_cut_keeps_its_complete_lines() -> None:
    rig = Rig(buffer_bytes=4, encoding="gzip")
    rig.body.feed(gzip.compress(b"a\nb\nc")[:-4])
    with pytest.raises(MalformedRequest):
        rig.body.finish()
    rig.body.close()
    assert rig.lines() == [b"a\n", b"b\n"]
    assert rig.room.buffers_free == 1


def test_the_buffer_comes_back_once() -> None:
    rig = Rig()
    rig.body.feed(b"a\nb")
    assert rig.room.buffers_free == 0
    rig.body.close()
    rig.body.close()
    assert rig.room.buffers_free == 1


def test_an_empty_body_hands_nothing_on() -> None:
    rig = Rig()
    rig.body.feed(b"")
    rig.body.hand_on()
    rig.body.finish()
    assert rig.lines() == []

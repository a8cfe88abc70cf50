"""However a body arrives, the same lines are handed on."""

import gzip
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.backpressure import Backpressure
from ingest.body import Body
from ingest.decompression import Decompressor
from ingest.errors import BodyTooLarge, DocumentRefused
from ingest.splitter import split_json, split_lines

REFUSED = None


class Taken:
    """Lines in order; each hand-over fills the room, so that the body is blocked after it."""

    def __init__(self, room: Backpressure, blocks: bool):
        self.lines: list[bytes | None] = []
        self.json: list[bytes] = []
        self._room = room
        self._blocks = blocks

    def take_lines(self, window: memoryview | bytes) -> None:
        assert len(window) > 0
        self.lines.extend(split_lines(window))
        self._room.hold(self._blocks)

    def take_json(self, body: memoryview | bytes) -> None:
        self.json.extend(split_json(body))

    def refuse_line(self, refusal: DocumentRefused) -> None:
        self.lines.append(REFUSED)


Feed = Callable[[Body, bytes], None]


def fed(body: Body, piece: bytes) -> None:
    body.feed(piece)


def direct(body: Body, piece: bytes) -> None:
    while piece:
        space = body.space
        assert len(space) > 0
        count = min(len(space), len(piece))
        space[:count] = piece[:count]
        piece = piece[count:]
        body.advance(count)


def ticked(body: Body, piece: bytes) -> None:
    body.feed(piece)
    body.hand_on()


def read(
    pieces: list[bytes],
    buffer_bytes: int,
    feed: Feed = fed,
    *,
    is_json: bool = False,
    blocks: bool = False,
    encoding: str = "",
) -> Taken:
    room = Backpressure(1, buffer_bytes, 1, lambda wake: None)
    taken = Taken(room, blocks)
    buffer = room.try_take_buffer()
    assert buffer is not None
    decompressor = Decompressor(encoding, 1 << 20, 1000) if encoding else None
    body = Body(buffer, room, taken, is_json=is_json, decompressor=decompressor)
    try:
        for piece in pieces:
            feed(body, piece)
            while body.is_blocked:
                room.release(room.pending_bytes)
                body.pump()
        body.finish()
    finally:
        body.close()
        assert room.buffers_free == 1
    return taken


def expected(content: bytes, buffer_bytes: int) -> list[bytes | None]:
    lines: list[bytes | None] = []
    for line in content.splitlines(keepends=True):
        fits = len(line) <= buffer_bytes if line.endswith(b"\n") else len(line) < buffer_bytes
        end = b"" if line.endswith(b"\n") else b"\n"
        lines.append(line + end if fits else REFUSED)
    return lines


def cut(content: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(content) + 1) for place in places}), len(content)]
    return [content[a:b] for a, b in pairwise(bounds)]


line_bytes = st.integers(0, 40).map(
    lambda size: b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH"[:size]
)
endings = st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n", b"\n \n"])
contents = st.lists(st.tuples(line_bytes, endings), max_size=12).flatmap(
    lambda lines: st.sampled_from([b"", b"z", b"y" * 70]).map(
        lambda tail: b"".join(line + ending for line, ending in lines) + tail
    )
)
buffers = st.integers(16, 64)
cuts = st.lists(st.integers(0, 600), max_size=6)
feeds = st.sampled_from([fed, direct, ticked])


@settings(max_examples=300)
@given(contents, buffers, cuts, feeds, st.booleans())
def test_lines_do_not_depend_on_how_they_arrive(
    content: bytes, buffer_bytes: int, places: list[int], feed: Feed, blocks: bool
) -> None:
    taken = read(cut(content, places), buffer_bytes, feed, blocks=blocks)
    assert taken.lines == expected(content, buffer_bytes)


@settings(max_examples=25)
@given(contents, buffers, feeds)
def test_every_single_cut_gives_the_same_lines(
    content: bytes, buffer_bytes: int, feed: Feed
) -> None:
    lines = expected(content, buffer_bytes)
    for place in range(len(content) + 1):
        assert read([content[:place], content[place:]], buffer_bytes, feed).lines == lines


@settings(max_examples=50)
@given(contents, buffers, feeds, st.booleans())
def test_byte_by_byte_gives_the_same_lines(
    content: bytes, buffer_bytes: int, feed: Feed, blocks: bool
) -> None:
    pieces = [bytes([byte]) for byte in content]
    assert read(pieces, buffer_bytes, feed, blocks=blocks).lines == expected(content, buffer_bytes)


@given(contents, buffers, cuts, st.booleans())
def test_compressed_lines_do_not_depend_on_how_they_arrive(
    content: bytes, buffer_bytes: int, places: list[int], blocks: bool
) -> None:
    pieces = cut(gzip.compress(content), places)
    taken = read(pieces, buffer_bytes, blocks=blocks, encoding="gzip")
    assert taken.lines == expected(content, buffer_bytes)


@given(st.lists(st.sampled_from([b'{"a":\n1}', b"{}", b'{"b":"x,y]"}']), max_size=6), cuts, feeds)
def test_an_array_does_not_depend_on_how_it_arrives(
    elements: list[bytes], places: list[int], feed: Feed
) -> None:
    content = b"[" + b" ,\n".join(elements) + b"]"
    taken = read(cut(content, places), len(content) + 1, feed, is_json=True)
    assert taken.json == [each.replace(b"\n", b" ") + b"\n" for each in elements]
    with pytest.raises(BodyTooLarge):
        read(cut(content, places), len(content), feed, is_json=True)

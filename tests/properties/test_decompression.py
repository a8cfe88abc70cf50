"""However compressed bytes arrive: the same content, or a refusal, and nothing else."""

import gzip
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decompression import Decompressor
from ingest.errors import BodyTooLarge, MalformedRequest
from tests.zstd import zstd

COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
encodings = st.sampled_from(["gzip", "zstd"])
contents = st.binary(max_size=60) | st.integers(0, 5000).map(lambda size: b"ab\n" * size)
members = st.lists(contents, min_size=1, max_size=3)
steps = st.sampled_from([1, 2, 5, 17, 1 << 20])
rooms = st.sampled_from([1, 3, 64, 1 << 16])


def decompressed(encoding: str, body: bytes, step: int, room: int) -> bytes:
    decompressor = Decompressor(encoding, 1 << 24, 1 << 20)
    content = []
    for start in range(0, len(body), step):
        decompressor.feed(body[start : start + step])
        while piece := decompressor.read(room):
            assert len(piece) <= room
            content.append(piece)
    decompressor.finish()
    return b"".join(content)


@given(encodings, members, steps, rooms)
def test_what_was_compressed_comes_out(
    encoding: str, parts: list[bytes], step: int, room: int
) -> None:
    body = b"".join(map(COMPRESS[encoding], parts))
    assert decompressed(encoding, body, step, room) == b"".join(parts)


@given(encodings, members, st.data(), steps)
def test_a_cut_body_is_refused_but_between_members(
    encoding: str, parts: list[bytes], data: st.DataObject, step: int
) -> None:
    compressed = [COMPRESS[encoding](part) for part in parts]
    whole = b"".join(compressed)
    place = data.draw(st.integers(0, len(whole) - 1))
    ends = {len(b"".join(compressed[:count])) for count in range(1, len(parts))}
    if place in ends:
        assert b"".join(parts).startswith(decompressed(encoding, whole[:place], step, 64))
    else:
        with pytest.raises(MalformedRequest):
            decompressed(encoding, whole[:place], step, 64)


@given(encodings, contents, st.data(), steps)
def test_damage_is_a_refusal_or_does_no_harm(
    encoding: str, content: bytes, data: st.DataObject, step: int
) -> None:
    body = bytearray(COMPRESS[encoding](content))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decompressed(encoding, bytes(body), step, 64)
    except (MalformedRequest, BodyTooLarge):
        return


@given(encodings, st.binary(max_size=80), steps)
def test_any_bytes_are_refused_or_read(encoding: str, body: bytes, step: int) -> None:
    try:
        decompressed(encoding, body, step, 64)
    except (MalformedRequest, BodyTooLarge):
        return

"""Compressed bodies: their limits, their damage, their unusual forms."""

import gzip
import zlib
from collections.abc import Callable

import pytest

from ingest.decompression import ENCODINGS, RATIO_LOOKED_AT_BYTES, Decompressor
from ingest.errors import BodyTooLarge, MalformedRequest
from tests.zstd import zstd

LINES = b'{"message":"hello"}\n' * 100
COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
both = pytest.mark.parametrize("encoding", ["gzip", "zstd"])


def decompressed(
    encoding: str, body: bytes, *, max_bytes: int = 1 << 40, max_ratio: int = 1 << 20
) -> bytes:
    decompressor = Decompressor(encoding, max_bytes, max_ratio)
    decompressor.feed(body)
    content = b""
    while piece := decompressor.read(1 << 16):
        content += piece
    decompressor.finish()
    return content


def test_these_encodings_are_read() -> None:
    assert {"gzip", "x-gzip", "zstd"} == ENCODINGS
    assert decompressed("x-gzip", gzip.compress(LINES)) == LINES


@both
def test_members_in_a_row_are_one_body(encoding: str) -> None:
    compress = COMPRESS[encoding]
    body = compress(LINES) + compress(b"") + compress(b"last")
    assert decompressed(encoding, body) == LINES + b"last"


@both
def test_an_empty_body_is_not_compressed(encoding: str) -> None:
    with pytest.raises(MalformedRequest, match="ends before"):
        decompressed(encoding, b"")


@both
def test_nothing_compressed_is_nothing(encoding: str) -> None:
    assert decompressed(encoding, COMPRESS[encoding](b"")) == b""


@both
def test_a_cut_second_member_is_seen(encoding: str) -> None:
    compress = COMPRESS[encoding]
    with pytest.raises(MalformedRequest, match="ends before"):
        decompressed(encoding, compress(LINES) + compress(LINES)[:-1])


@both
@pytest.mark.parametrize("tail", [b"junk, more junk", b"\0" * 20], ids=["junk", "zeros"])
def test_what_is_behind_must_be_a_member(encoding: str, tail: bytes) -> None:
    with pytest.raises(MalformedRequest) as refusal:
        decompressed(encoding, COMPRESS[encoding](LINES) + tail)
    assert refusal.value.kind == "damaged_body"


@pytest.mark.parametrize("place", [-1, -5], ids=["size", "checksum"])
def test_a_wrong_gzip_trailer_is_damage(place: int) -> None:
    body = bytearray(gzip.compress(LINES))
    body[place] ^= 1
    with pytest.raises(MalformedRequest):
        decompressed("gzip", bytes(body))


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", zlib.compress(LINES)),
        ("gzip", LINES),
        ("gzip", zstd.compress(LINES)),
        ("zstd", gzip.compress(LINES)),
        ("zstd", LINES),
    ],
    ids=["zlib", "plain", "zstd as gzip", "gzip as zstd", "plain as zstd"],
)
def test_another_format_is_damage(encoding: str, body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        decompressed(encoding, body)


def test_zstd_frames_may_be_skippable() -> None:
    skippable = (0x184D2A50).to_bytes(4, "little") + (3).to_bytes(4, "little") + b"abc"
    body = skippable + zstd.compress(LINES) + skippable + zstd.compress(LINES)
    assert decompressed("zstd", body) == LINES * 2


def test_a_zstd_window_over_8_mib_is_refused() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    body = compressor.compress(b"x" * 1000) + compressor.flush()
    with pytest.raises(MalformedRequest):
        decompressed("zstd", body)


@both
def test_a_piece_is_never_larger_than_asked(encoding: str) -> None:
    decompressor = Decompressor(encoding, 1 << 40, 1 << 20)
    decompressor.feed(COMPRESS[encoding](b"\0" * (4 << 20)))
    for room in (1, 7, 4096):
        assert len(decompressor.read(room)) <= room


@both
def test_the_limit_of_decompressed_bytes_holds(encoding: str) -> None:
    body = COMPRESS[encoding](b"x" * 1000)
    assert len(decompressed(encoding, body, max_bytes=1000)) == 1000
    with pytest.raises(BodyTooLarge, match="max_body_bytes"):
        decompressed(encoding, body, max_bytes=999)


@both
def test_the_limit_holds_over_all_members(encoding: str) -> None:
    body = COMPRESS[encoding](b"x" * 600) * 2
    with pytest.raises(BodyTooLarge, match="max_body_bytes"):
        decompressed(encoding, body, max_bytes=1000)


@both
def test_a_bomb_is_stopped_by_its_ratio(encoding: str) -> None:
    bomb = COMPRESS[encoding](b"\0" * (3 * RATIO_LOOKED_AT_BYTES))
    with pytest.raises(BodyTooLarge, match="max_decompression_ratio"):
        decompressed(encoding, bomb, max_ratio=100)


@both
def test_a_small_body_may_compress_as_well_as_it_likes(encoding: str) -> None:
    body = COMPRESS[encoding](b"\0" * RATIO_LOOKED_AT_BYTES)
    assert len(decompressed(encoding, body, max_ratio=1)) == RATIO_LOOKED_AT_BYTES

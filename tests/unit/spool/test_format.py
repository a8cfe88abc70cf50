"""Bytes on disk, without a disk."""

import zlib
from dataclasses import replace
from uuid import UUID

import pytest

from ingest.spool.format import (
    FILE_HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    RECORD_HEADER_BYTES,
    SLOT_BYTES,
    FileHeader,
    Position,
    encode_file_header,
    encode_record_header,
    encode_slot,
    find_file_name,
    is_record_intact,
    name_file,
    record_needle,
    try_file_header,
    try_record_header,
    try_slot,
)

HEADER = FileHeader(3, UUID(int=7), 1000, 1_700_000_000_000, 0xABCDEF0123456789)
PAYLOAD = b'{"create":{}}\n{"a":1}\n'
ROOM = 10_000


def _record(payload: bytes = PAYLOAD) -> bytes:
    return encode_record_header(HEADER.salt, 4, 77, len(payload), [payload])


def test_a_file_header_is_read_as_written() -> None:
    content = encode_file_header(HEADER)
    assert len(content) == FILE_HEADER_BYTES == 64
    assert try_file_header(content + b"records follow") == HEADER


def test_a_later_version_is_still_recognised() -> None:
    later = replace(HEADER, version=2)
    assert try_file_header(encode_file_header(later)) == later


@pytest.mark.parametrize("at", range(FILE_HEADER_BYTES))
def test_no_changed_byte_passes_in_a_file_header(at: int) -> None:
    content = bytearray(encode_file_header(HEADER))
    content[at] ^= 0x10
    assert try_file_header(bytes(content)) is None


def test_the_checksum_is_the_one_of_zlib() -> None:
    header = _record()
    fields, crc = header[:-4], header[-4:]
    assert int.from_bytes(crc, "little") == zlib.crc32(fields + PAYLOAD)


def test_a_record_header_is_read_as_written() -> None:
    header = try_record_header(_record(), HEADER.salt, ROOM)
    assert header is not None
    assert (header.length, header.count, header.first_sequence) == (len(PAYLOAD), 4, 77)
    assert is_record_intact(_record(), PAYLOAD)
    assert _record().startswith(record_needle(HEADER.salt))


@pytest.mark.parametrize("at", range(RECORD_HEADER_BYTES + len(PAYLOAD)))
def test_no_changed_byte_passes_in_a_record(at: int) -> None:
    content = bytearray(_record() + PAYLOAD)
    content[at] ^= 0x01
    header_bytes, payload = bytes(content[:RECORD_HEADER_BYTES]), bytes(content[-len(PAYLOAD) :])
    header = try_record_header(header_bytes, HEADER.salt, ROOM)
    is_accepted = header is not None and header.length == len(payload)
    assert not (is_accepted and is_record_intact(header_bytes, payload))


@pytest.mark.parametrize(
    ("header", "salt", "room"),
    [
        pytest.param(_record(), HEADER.salt + 1, ROOM, id="stale bytes of another file"),
        pytest.param(_record(), HEADER.salt, len(PAYLOAD), id="longer than the file's rest"),
        pytest.param(_record()[:-1], HEADER.salt, ROOM, id="cut"),
        pytest.param(bytes(RECORD_HEADER_BYTES), 0, ROOM, id="zeros, salt zero"),
        pytest.param(b"", HEADER.salt, 0, id="nothing"),
        pytest.param(
            encode_record_header(HEADER.salt, 1, 1, PAYLOAD_BYTES_MAX + 1, []),
            HEADER.salt,
            1 << 40,
            id="longer than a record may be",
        ),
        pytest.param(
            encode_record_header(HEADER.salt, 1, 1, 0xFFFFFFFF, []),
            HEADER.salt,
            1 << 40,
            id="length 0xFFFFFFFF",
        ),
    ],
)
def test_a_length_is_judged_before_anything_is_allocated(
    header: bytes, salt: int, room: int
) -> None:
    assert try_record_header(header, salt, room) is None


def test_a_cursor_slot_is_read_as_written() -> None:
    content = encode_slot(9, Position(3, 4096, 77))
    assert len(content) == SLOT_BYTES
    assert try_slot(content) == (9, Position(3, 4096, 77))


@pytest.mark.parametrize("at", range(SLOT_BYTES))
def test_no_changed_byte_passes_in_a_slot(at: int) -> None:
    content = bytearray(encode_slot(9, Position(3, 4096, 77)))
    content[at] ^= 0x80
    assert try_slot(bytes(content)) is None


def test_file_names_sort_as_they_were_written() -> None:
    names = [name_file(number, 5) for number in (1, 9, 10, 4_000_000_000)]
    assert names == sorted(names)
    assert [find_file_name(name) for name in names] == [
        (number, 5) for number in (1, 9, 10, 4_000_000_000)
    ]


@pytest.mark.parametrize("name", ["LOCK", "1.spool", "core", "0000000001-xyz.spool", "a.spool~"])
def test_foreign_names_are_no_spool_files(name: str) -> None:
    assert find_file_name(name) is None

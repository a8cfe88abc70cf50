"""Parts of chunks: the same documents, the same bytes, the same places."""

import pytest

from ingest.chunk import OVERHEAD_BYTES, Chunk, halve, pairs, part
from tests.delivery_rig import CountingReceipt, chunk_of, ids_in

RECEIPT = CountingReceipt(9)


def test_pairs_are_action_and_source_line_together() -> None:
    assert pairs(b'{"index":{}}\n{"a": 1}\r\n{"create":{}}\n{}\n') == [
        b'{"index":{}}\n{"a": 1}\r\n',
        b'{"create":{}}\n{}\n',
    ]


def test_a_part_keeps_places_lot_and_originals() -> None:
    chunk = chunk_of([10, 11, 12, 13], RECEIPT)
    chunk.sequences = range(70, 74)
    chunk.originals = {1: b"eleven", 3: b"thirteen"}
    rest = part(chunk, [0, 3], 5)
    assert ids_in(rest.bulk) == [10, 13]
    assert rest == Chunk(rest.bulk, 2, chunk.lot, [70, 73], [10, 13], 5, originals={1: b"thirteen"})


@pytest.mark.parametrize("count", [2, 3, 8])
def test_halves_are_the_whole(count: int) -> None:
    chunk = chunk_of(range(count), RECEIPT)
    chunk.attempts = 4
    chunk.originals = {count - 1: b"x"}
    first, second = halve(chunk)
    assert first.bulk + second.bulk == chunk.bulk
    assert first.count + second.count == count
    assert abs(first.count - second.count) <= 1
    assert [*first.positions, *second.positions] == list(range(count))
    assert [*first.sequences, *second.sequences] == list(range(count))
    assert first.lot is second.lot is chunk.lot
    assert (first.attempts, second.attempts) == (4, 4)
    assert (dict(first.originals), dict(second.originals)) == ({}, {second.count - 1: b"x"})


def test_held_bytes_are_what_is_sent_what_was_sent_to_us_and_the_objects() -> None:
    chunk = chunk_of([0, 1, 2])
    assert chunk.held_bytes == len(chunk.bulk) + OVERHEAD_BYTES
    chunk.originals = {0: b"abc", 2: b"de"}
    assert chunk.held_bytes == len(chunk.bulk) + 5 + OVERHEAD_BYTES
    assert part(chunk, [2], 1).held_bytes == len(pairs(chunk.bulk)[2]) + 2 + OVERHEAD_BYTES
    assert sum(half.held_bytes for half in halve(chunk)) == chunk.held_bytes


def test_positions_may_be_a_range() -> None:
    chunk = chunk_of([0, 1, 2])
    chunk.positions = range(40, 43)
    assert [list(half.positions) for half in halve(chunk)] == [[40], [41, 42]]

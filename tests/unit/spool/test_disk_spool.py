"""The spool as the service sees it."""

import stat
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from ingest.spool import (
    Buffer,
    DiskSpool,
    Leftover,
    Spool,
    SpoolError,
    SpoolLimits,
    SpoolUnavailable,
)
from ingest.spool.format import PAYLOAD_BYTES_MAX
from tests.unit.spool.rig import LIMITS, Rig, drain, payload_of, payloads, take_over


def test_one_group_is_acked_by_one_call(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    for _ in range(3):
        rig.queue()
    assert rig.groups == []
    rig.spool.turn()
    assert rig.groups == [([0, 1, 2], None)]


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    records = [rig.append(size=size) for size in (1, 100, 4000, 9000)]
    for record in records:
        assert rig.on_disk()[record.first_sequence] == payload_of(
            record.first_sequence, record.length
        )


def test_a_payload_in_pieces_is_one_record(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    pieces: list[Buffer] = [b"a", memoryview(b"bc"), bytearray(b"def")] * 1000
    rig.spool.append(pieces, 1, 0, 0)
    rig.spool.turn()
    assert rig.on_disk() == {0: b"abcdef" * 1000}


def test_disk_spool_and_orphan_offer_what_the_service_sees(tmp_path: Path) -> None:
    """The type checker's test: a spool of another make has to offer no more than this."""
    rig = Rig(tmp_path)
    spool: Spool[int] = rig.spool
    record = spool.append(b"x", 1, 0, 0)
    rig.spool.turn()
    spool.defer(record)
    rig.spool.close()
    leftover: Leftover = take_over(rig.path)
    for recovered in leftover.records():
        assert recovered.payload == b"x"
    leftover.settle(range(1))
    assert leftover.is_drained
    assert leftover.remove()


def test_a_full_file_is_followed_by_the_next(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    records = [rig.queue(size=1500) for _ in range(5)]
    rig.spool.turn()
    assert [record.file for record in records] == [1, 1, 2, 2, 3]
    assert rig.acked == [0, 1, 2, 3, 4]
    assert rig.on_disk() == {n: payload_of(n, 1500) for n in range(5)}


def test_a_record_larger_than_a_file_gets_a_file_of_its_own(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    records = [rig.append(size=size) for size in (10, 100_000, 10)]
    assert [record.file for record in records] == [1, 2, 3]
    assert rig.on_disk()[1] == payload_of(1, 100_000)


def test_settled_files_go_and_the_others_stay(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    records = [rig.append(size=3000) for _ in range(4)]
    rig.settle(records[0], records[1], records[3])
    rig.tick()
    assert [name[:10] for name in rig.spool_files()] == ["0000000003", "0000000004"]
    rig.settle(records[2])
    rig.tick()
    assert [name[:10] for name in rig.spool_files()] == ["0000000004"]


def test_depths_count_what_is_not_settled(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    first, second = rig.append(count=10), rig.append(count=5)
    assert rig.spool.documents == 15
    assert rig.spool.unsettled_bytes == first.size + second.size
    rig.clock.advance(7)
    assert rig.spool.oldest_age_s == 7
    rig.spool.settle(range(9))
    assert rig.spool.documents == 6
    rig.spool.settle([9])
    assert rig.spool.unsettled_bytes == second.size
    rig.settle(second)
    assert (rig.spool.documents, rig.spool.unsettled_bytes, rig.spool.oldest_age_s) == (0, 0, 0)


def test_documents_may_be_settled_before_they_are_durable(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.settle(rig.queue())
    assert rig.spool.documents == 0
    rig.tick()
    assert rig.acked == [0]
    assert drain(rig.crash_into(tmp_path / "crashed").parents[1]) == {}


@pytest.mark.parametrize(
    ("payload", "count"),
    [
        pytest.param(b"", 1, id="no bytes"),
        pytest.param([], 1, id="no pieces"),
        pytest.param(b"x", 0, id="no document"),
        pytest.param([bytes(PAYLOAD_BYTES_MAX), b"x"], 1, id="more than a record may have"),
    ],
)
def test_what_can_not_be_a_record_is_refused(
    tmp_path: Path, payload: bytes | list[bytes], count: int
) -> None:
    rig = Rig(tmp_path)
    with pytest.raises(ValueError, match="a record has"):
        rig.spool.append(payload, count, 0, 0)
    assert rig.spool.documents == 0


def test_sequences_may_leave_gaps_but_not_go_back(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.spool.append(b"x", 10, 5, 5)
    rig.spool.append(b"y", 1, 100, 100)
    with pytest.raises(ValueError, match="sequence 100 was used"):
        rig.spool.append(b"z", 1, 100, 100)


def test_only_the_owner_may_look_inside(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.append()
    assert stat.S_IMODE(rig.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(rig.path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in rig.path.iterdir()} == {0o600}


def test_a_drained_spool_leaves_nothing_behind(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.settle(rig.append(), rig.append(size=5000))
    assert rig.spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_what_is_not_settled_outlives_the_spool(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.settle(rig.append())
    rig.append()
    rig.queue()
    assert rig.spool.close()
    assert rig.acked == [0, 1, 2]
    assert drain(tmp_path) == {1: payload_of(1), 2: payload_of(2)}
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.spool.close()
    assert not rig.spool.is_healthy
    with pytest.raises(SpoolUnavailable, match="closed"):
        rig.queue()


def test_a_reservation_is_refused_when_the_quota_is_used_up(tmp_path: Path) -> None:
    limits = SpoolLimits(quota_bytes=20_000, free_bytes_min=0, file_bytes=4096)
    rig = Rig(tmp_path, limits=limits)
    records = []
    while rig.spool.reserve(1000):
        records.append(rig.append(size=1000))
        rig.spool.release(1000)
    assert len(records) >= 15
    rig.tick()
    assert not rig.spool.reserve(1)
    assert 1 <= rig.spool.retry_after_s() <= 30
    rig.settle(*records[: len(records) // 2])
    rig.tick()
    assert rig.spool.reserve(1000)


def test_one_unsettled_record_does_not_hold_a_drained_quota(tmp_path: Path) -> None:
    """The last file is let go of when nothing in it is needed, or a small quota never recovers."""
    limits = SpoolLimits(quota_bytes=8_000, free_bytes_min=0, file_bytes=1 << 20)
    rig = Rig(tmp_path, limits=limits)
    record = rig.append(size=7_950)
    assert not rig.spool.reserve(1000)
    rig.settle(record)
    rig.tick()
    rig.tick()
    assert rig.spool.reserve(1000)
    rig.append()
    assert rig.on_disk()[1] == payload_of(1)


def test_what_a_dead_process_left_takes_of_the_shared_quota(tmp_path: Path) -> None:
    limits = SpoolLimits(quota_bytes=8_000, free_bytes_min=0, shared_quota_bytes=10_000)
    dead = Rig(tmp_path, limits=limits, directory_id=uuid4())
    dead.append(size=7_000)
    dead.spool.close()
    rig = Rig(tmp_path, limits=limits)
    assert not rig.spool.reserve(3_000)
    assert drain(tmp_path).keys() == {0}
    rig.tick()
    assert rig.spool.reserve(3_000)


def test_threads_and_files_work_together(tmp_path: Path) -> None:
    """The thread, for real: every token comes back once, and everything can be read."""
    acked: list[int] = []
    all_acked = threading.Event()

    def on_committed(tokens: list[int], error: SpoolError | None) -> None:
        assert error is None
        acked.extend(tokens)
        if len(acked) == 500:
            all_acked.set()

    synced: list[float] = []
    spool = DiskSpool(tmp_path, on_committed, limits=LIMITS, on_sync=synced.append)
    spool.start()
    for first in range(500):
        spool.append(payload_of(first, 50), 1, first, first)
    assert all_acked.wait(30)
    assert acked == list(range(500))
    assert len(synced) >= 1
    assert payloads(tmp_path / "spool" / str(spool.id)) == {
        n: payload_of(n, 50) for n in range(500)
    }
    spool.settle(range(500))
    assert spool.close(30)
    assert list((tmp_path / "spool").iterdir()) == []


def test_a_callback_that_breaks_ends_the_acks_and_says_so(tmp_path: Path) -> None:
    def on_committed(tokens: list[int], error: SpoolError | None) -> None:
        raise RuntimeError("event loop is closed")

    spool = DiskSpool(tmp_path, on_committed, limits=LIMITS)
    spool.start()
    spool.append(b"x", 1, 0, 0)
    assert spool.close(30)
    assert not spool.is_healthy
    assert "event loop is closed" in spool.last_error

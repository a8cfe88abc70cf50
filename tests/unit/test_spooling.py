"""Durable: told once and not before, kept on disk when memory is full, given back byte by byte."""

import asyncio
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest import metrics
from ingest.errors import RequestError, Shed, Unavailable
from ingest.intake import Intake
from ingest.model import Target
from ingest.scoreboard import Ledger, Scoreboard
from ingest.spool import DiskSpool, SpoolLimits, dump
from ingest.spooling import GROUP_BYTES_MAX, LIVE_SHARE, Group, Spooling
from tests.delivery_rig import chunk_of, open_scoreboard
from tests.spooling_rig import WAIT_S, SpoolingRig
from tests.unit.spool.rig import LIMITS
from tests.unit.spool.scripted_files import ScriptedFiles

ROOM = 10_000
FULL = int(ROOM * LIVE_SHARE) + 1


def route(document: dict[str, Any], line: bytes) -> Target:
    raise AssertionError("nothing is routed here")


def durable() -> Intake:
    intake = Intake("durable", route)
    intake.is_read = True
    return intake


def bulk_of(*ids: int, size: int = 0) -> bytes:
    """Bulk lines of these documents; each of at least `size` bytes."""
    lines = [chunk_of([n]).bulk for n in ids]
    return b"".join(line[:-1].ljust(size - 1) + b"\n" for line in lines)


def on_disk(rig: SpoolingRig) -> list[bytes]:
    """The payload of each record."""
    (directory,) = (rig.data_dir / "spool").iterdir()
    return [record.payload for record in dump(directory)]


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    with open_scoreboard() as board:
        yield board


@pytest.fixture
def rig(board: Scoreboard, tmp_path: Path) -> Iterator[SpoolingRig]:
    with SpoolingRig(board, tmp_path, max_pending_bytes=ROOM) as rig:
        yield rig


# On disk, and then told


def test_an_intake_is_told_once_when_all_of_it_is_on_disk(rig: SpoolingRig) -> None:
    intake, told = durable(), list[int]()
    rig.take(intake, bulk_of(0, 1), bulk_of(2))
    intake.when_done(lambda: told.append(intake.committed))
    rig.turn()
    assert (told, rig.chunks) == ([], [])
    assert rig.ledger == Ledger(received=3, in_memory_unacked=3)
    rig.commit()
    assert told == [3]
    assert rig.ledger == Ledger(received=3, spooled=3)
    rig.commit()
    assert told == [3]


def test_what_is_told_can_be_read_from_disk(rig: SpoolingRig) -> None:
    intake, seen = durable(), list[list[bytes]]()
    rig.take(intake, bulk_of(0, 1))
    intake.when_done(lambda: seen.append(on_disk(rig)))
    rig.commit()
    assert seen == [[bulk_of(0, 1)]]


def test_chunks_of_one_turn_share_a_record_and_are_settled_apart(rig: SpoolingRig) -> None:
    intakes = [durable() for _ in range(3)]
    for n, intake in enumerate(intakes):
        rig.take(intake, bulk_of(10 * n, 10 * n + 1))
    rig.commit()
    assert on_disk(rig) == [bulk_of(0, 1, 10, 11, 20, 21)]
    assert all(intake.is_done for intake in intakes)
    assert [chunk.bulk for chunk in rig.chunks] == [bulk_of(0, 1), bulk_of(10, 11), bulk_of(20, 21)]
    rig.settle([rig.chunks[1]])
    assert rig.spool.documents == 4
    rig.settle([rig.chunks[0], rig.chunks[2]])
    assert rig.spool.documents == 0
    assert rig.board.read(metrics.SPOOL_COMMITTED) == {"": [3]}


def test_chunks_of_different_turns_are_different_records(rig: SpoolingRig) -> None:
    for n in range(3):
        rig.take(durable(), bulk_of(n))
        rig.turn()
    rig.commit()
    assert on_disk(rig) == [bulk_of(0), bulk_of(1), bulk_of(2)]
    assert rig.groups == [3]


def test_a_record_is_not_made_larger_than_need_be(board: Scoreboard, tmp_path: Path) -> None:
    half = GROUP_BYTES_MAX // 2
    with SpoolingRig(board, tmp_path) as rig:
        rig.take(durable(), *[bulk_of(n, size=half) for n in range(5)])
        rig.commit()
        assert [len(payload) // half for payload in on_disk(rig)] == [2, 2, 1]
        assert [chunk.sequences for chunk in rig.chunks] == [range(n, n + 1) for n in range(5)]


def test_settled_documents_free_everything(rig: SpoolingRig) -> None:
    intake = durable()
    rig.take(intake, bulk_of(0, 1), bulk_of(2), originals={0: b"as it was sent"})
    rig.commit()
    rig.settle(rig.chunks)
    assert rig.ledger == Ledger(received=3, indexed=3)
    assert (rig.room.pending_bytes, rig.spool.documents, intake.in_memory) == (0, 0, 0)
    rig.spool.close()
    assert list((rig.data_dir / "spool").iterdir()) == []


# More than memory holds


def test_when_live_room_is_full_memory_is_released_and_bytes_come_back_in_order(
    rig: SpoolingRig,
) -> None:
    bulks = [bulk_of(2 * n, 2 * n + 1, size=FULL // 4) for n in range(12)]
    intakes = [durable() for _ in bulks]
    for intake, bulk in zip(intakes, bulks, strict=True):
        rig.take(intake, bulk)
        rig.commit()
    assert all(intake.is_done for intake in intakes)
    live = [chunk.bulk for chunk in rig.chunks]
    assert 0 < len(live) < len(bulks)
    assert rig.room.pending_bytes == sum(map(len, live)) <= FULL
    assert rig.ledger == Ledger(received=24, spooled=24)

    def settle_what_came() -> bool:
        rig.settle([chunk for chunk in rig.chunks if chunk.lot.unsettled])
        return len(rig.chunks) == len(bulks)

    rig.feed_until(settle_what_came)
    assert [chunk.bulk for chunk in rig.chunks] == bulks
    assert rig.ledger == Ledger(received=24, indexed=24)
    assert (rig.room.pending_bytes, rig.spool.documents) == (0, 0)


def fill(rig: SpoolingRig, size: int = FULL) -> None:
    """As documents of other ack levels do; what is committed after this is set aside."""
    rig.room.hold(size)


def test_chunks_of_a_shared_record_come_back_each_with_its_own(rig: SpoolingRig) -> None:
    fill(rig)
    bulks = [bulk_of(0), bulk_of(1, 2), bulk_of(3, size=200)]
    for bulk in bulks:
        rig.take(durable(), bulk)
    rig.commit()
    assert rig.room.pending_bytes == FULL
    rig.feed_until(lambda: len(rig.chunks) == 3)
    assert [chunk.bulk for chunk in rig.chunks] == bulks
    assert rig.room.pending_bytes == FULL + sum(map(len, bulks))
    rig.settle(rig.chunks)
    assert (rig.room.pending_bytes, rig.spool.documents) == (FULL, 0)


def test_the_backlog_is_not_fed_while_there_is_no_room(rig: SpoolingRig) -> None:
    fill(rig, ROOM)
    rig.take(durable(), bulk_of(0))
    rig.commit()
    assert not rig.spooling.has_room_for(1)
    turns = iter(range(3))
    rig.feed_until(lambda: next(turns, None) is None)
    assert rig.chunks == []
    rig.room.release(ROOM)
    rig.feed_until(lambda: len(rig.chunks) == 1)


def test_what_is_set_aside_stays_when_the_process_ends(rig: SpoolingRig) -> None:
    fill(rig)
    rig.take(durable(), bulk_of(0), bulk_of(1))
    rig.commit()
    rig.room.release(FULL)
    rig.spooling.stop_feeding()
    assert not rig.spooling.has_room_for(1)
    rig.loop.run_until_complete(rig.spooling.close(WAIT_S))
    assert rig.ledger.spooled == 2
    assert on_disk(rig) == [bulk_of(0, 1)]


def test_originals_stay_in_memory_and_are_accounted_for(rig: SpoolingRig) -> None:
    fill(rig)
    originals = {0: b"o" * 300}
    rig.take(durable(), bulk_of(0), originals=originals)
    rig.commit()
    assert rig.room.pending_bytes == FULL + 300
    rig.feed_until(lambda: len(rig.chunks) == 1)
    assert dict(rig.chunks[0].originals) == originals
    rig.settle(rig.chunks)
    assert rig.room.pending_bytes == FULL


# Damage


def damage(rig: SpoolingRig, content: bytes) -> None:
    """Change what is on disk where these bytes are."""
    (file,) = (
        each for each in (rig.data_dir / "spool").rglob("*.spool") if content in each.read_bytes()
    )
    file.write_bytes(file.read_bytes().replace(content, content[:-2] + b"!\n"))


def test_a_damaged_record_is_lost_and_counted_and_the_next_one_comes(rig: SpoolingRig) -> None:
    fill(rig)
    bad, good = bulk_of(0, 1), bulk_of(2)
    rig.take(durable(), bad, originals={1: b"o" * 300})
    rig.commit()
    rig.take(durable(), good)
    rig.commit()
    damage(rig, bad)
    rig.feed_until(lambda: len(rig.chunks) == 1)
    assert rig.chunks[0].bulk == good
    assert rig.ledger == Ledger(received=3, spooled=1, lost_acked=2)
    assert rig.board.read(metrics.SPOOL_DAMAGED) == {"": [1]}
    (kept,) = (rig.data_dir / "spool" / "quarantine").iterdir()
    assert kept.read_bytes().endswith(bad[:-2] + b"!\n")
    rig.settle(rig.chunks)
    assert (rig.room.pending_bytes, rig.spool.documents) == (FULL, 0)


def test_a_disk_that_can_not_be_read_for_a_while_loses_nothing(
    board: Scoreboard, tmp_path: Path
) -> None:
    files = ScriptedFiles()
    with SpoolingRig(board, tmp_path, max_pending_bytes=ROOM, files=files) as rig:
        fill(rig)
        rig.take(durable(), bulk_of(0))
        rig.take(durable(), bulk_of(1))
        rig.commit()
        files.fail("pread", errno.EIO)
        rig.feed_until(lambda: len(rig.chunks) == 2)
        assert files.fired == ["pread"]
        assert [chunk.bulk for chunk in rig.chunks] == [bulk_of(0), bulk_of(1)]
        assert rig.ledger == Ledger(received=2, spooled=2)


# A disk that takes nothing


def test_a_failed_write_fails_the_ack_and_delivers_all_the_same(
    board: Scoreboard, tmp_path: Path
) -> None:
    files = ScriptedFiles()
    with SpoolingRig(board, tmp_path, files=files) as rig:
        intake, told = durable(), list[RequestError | None]()
        rig.take(intake, bulk_of(0))
        rig.commit()
        intake.when_done(None)
        rig.take(intake, bulk_of(1, 2))
        files.fail("pwritev", errno.EIO)
        intake.when_done(lambda: told.append(intake.error))
        rig.commit()
        (error,) = told
        assert isinstance(error, Unavailable)
        assert (error.kind, error.retry_after_s) == ("spool_unavailable", 5)
        assert (intake.committed, intake.committed_position) == (1, 1)
        assert [chunk.bulk for chunk in rig.chunks] == [bulk_of(0), bulk_of(1, 2)]
        assert rig.ledger == Ledger(received=3, spooled=1, in_memory_unacked=2)
        rig.settle(rig.chunks)
        assert rig.ledger == Ledger(received=3, indexed=3)


def test_a_full_disk_is_told_apart(board: Scoreboard, tmp_path: Path) -> None:
    files = ScriptedFiles()
    with SpoolingRig(board, tmp_path, files=files) as rig:
        intake = durable()
        rig.take(intake, bulk_of(0))
        files.fail("pwritev", errno.ENOSPC)
        rig.commit()
        assert intake.error is not None
        assert (intake.error.kind, intake.error.status) == ("spool_full", 503)
        with pytest.raises(Shed):
            rig.spooling.reserve(1)


@pytest.fixture
def broken(board: Scoreboard, tmp_path: Path) -> Iterator[tuple[SpoolingRig, ScriptedFiles]]:
    """After as many failures as make a spool give no more acks."""
    files = ScriptedFiles()
    with SpoolingRig(board, tmp_path, files=files) as rig:
        files.fail_always("pwritev", errno.EIO)
        files.fail_always("open_new", errno.EIO)
        for n in range(LIMITS.failures_max):
            rig.take(durable(), bulk_of(100 + n))
            rig.commit()
        assert not rig.spool.is_healthy
        rig.settle(rig.chunks)
        rig.chunks.clear()
        yield rig, files


def test_a_broken_spool_is_told_in_the_same_turn_and_documents_go_on(
    broken: tuple[SpoolingRig, ScriptedFiles],
) -> None:
    rig, _ = broken
    intake = durable()
    rig.take(intake, bulk_of(0, 1))
    rig.turn()
    assert intake.error is not None
    assert intake.is_done
    assert [chunk.bulk for chunk in rig.chunks] == [bulk_of(0, 1)]
    before = rig.ledger
    rig.settle(rig.chunks)
    assert rig.ledger.indexed == before.indexed + 2
    assert rig.ledger.in_memory == 0


def test_bodies_are_refused_until_the_disk_is_well_again(
    broken: tuple[SpoolingRig, ScriptedFiles],
) -> None:
    rig, files = broken
    with pytest.raises(Unavailable, match="ack=memory and ack=indexed are possible"):
        rig.spooling.reserve(1)
    files.heal()
    rig.pass_a_second()
    rig.spooling.reserve(1)
    intake = durable()
    rig.take(intake, bulk_of(0))
    rig.commit()
    assert (intake.error, intake.committed) == (None, 1)


# Room on disk


def test_beyond_the_quota_bodies_are_shed_with_a_time(board: Scoreboard, tmp_path: Path) -> None:
    limits = SpoolLimits(quota_bytes=20_000, free_bytes_min=0, file_bytes=4096)
    with SpoolingRig(board, tmp_path, limits=limits) as rig:
        rig.spooling.reserve(10_000)
        with pytest.raises(Shed) as shed:
            rig.spooling.reserve(15_000)
        assert shed.value.kind == "spool_full"
        assert shed.value.retry_after_s is not None
        assert 1 <= shed.value.retry_after_s <= 30
        rig.spooling.release(10_000)
        rig.pass_a_second()
        rig.spooling.reserve(15_000)


def test_the_time_follows_the_rate_at_which_room_is_made(board: Scoreboard, tmp_path: Path) -> None:
    limits = SpoolLimits(quota_bytes=100_000, free_bytes_min=0, file_bytes=4096)
    with SpoolingRig(board, tmp_path, limits=limits) as rig:
        for n in range(90):
            rig.take(durable(), bulk_of(n, size=1000))
            rig.commit()
        for chunk in rig.chunks[:30]:
            rig.settle([chunk])
            rig.pass_a_second()  # about 1,000 bytes a second
        rig.spooling.reserve(30_000)
        with pytest.raises(Shed) as shed:
            rig.spooling.reserve(30_000)
        assert shed.value.retry_after_s is not None
        assert 1 < shed.value.retry_after_s < 30


# With its own thread


def test_the_committer_s_thread_resolves_what_the_loop_has_taken(
    board: Scoreboard, tmp_path: Path
) -> None:
    """As a worker runs it: the spool started, the loop running, posts from many connections."""

    async def run(start: Callable[[asyncio.AbstractEventLoop], Spooling]) -> None:
        spooling = start(asyncio.get_running_loop())
        async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as tasks:
            for n in range(50):
                tasks.create_task(post(spooling, n))
        spooling.show()
        await spooling.close(WAIT_S)

    async def post(spooling: Spooling, n: int) -> None:
        await asyncio.sleep(0.001 * (n % 7))
        intake, done = durable(), asyncio.Event()
        chunk = chunk_of([n], intake)
        rig.room.hold(chunk.held_bytes)
        board.ledger.received += 1
        board.ledger.in_memory_unacked += 1
        spooling.append(chunk, intake)
        intake.when_done(done.set)
        await done.wait()
        assert intake.committed == 1
        rig.check()

    def start(loop: asyncio.AbstractEventLoop) -> Spooling:
        def open_spool(on_committed: Callable[..., object]) -> DiskSpool[Group]:
            spool: DiskSpool[Group] = DiskSpool(tmp_path / "started", on_committed, limits=LIMITS)
            spool.start()
            return spool

        return Spooling(open_spool, rig.batcher, rig.room, board, loop)

    with SpoolingRig(board, tmp_path) as rig:
        asyncio.run(run(start))
        assert rig.ledger == Ledger(received=50, spooled=50)
        assert sorted(chunk.sequences[0] for chunk in rig.chunks) == list(range(50))
        assert board.read(metrics.SPOOL_COMMITTED) == {"": [50]}
        assert board.read(metrics.SPOOL_BYTES)[""][0] > 0
    (directory,) = (tmp_path / "started" / "spool").iterdir()
    payload = b"".join(record.payload for record in dump(directory))
    assert payload == b"".join(chunk.bulk for chunk in rig.chunks)

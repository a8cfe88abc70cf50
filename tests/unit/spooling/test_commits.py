"""Durable: told once and not before it is on disk, and free again when it is settled."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from ingest import metrics
from ingest.scoreboard import Ledger, Scoreboard
from ingest.spool import DiskSpool, dump
from ingest.spooling import GROUP_BYTES_MAX, Group, Spooling
from tests.delivery_rig import chunk_of
from tests.spooling_rig import WAIT_S, SpoolingRig
from tests.unit.spool.rig import LIMITS
from tests.unit.spooling.rig import bulk_of, durable, on_disk


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

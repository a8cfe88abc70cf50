"""More than memory holds is kept on disk and given back byte by byte, damaged or not."""

import errno
import gc
from pathlib import Path

from ingest import metrics
from ingest.chunk import Chunk
from ingest.intake import Intake
from ingest.scoreboard import Ledger, Scoreboard
from ingest.spool import Record
from tests.spooling_rig import WAIT_S, SpoolingRig
from tests.unit.spool.scripted_files import ScriptedFiles
from tests.unit.spooling.rig import FULL, ROOM, bulk_of, durable, fill, on_disk


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
    assert rig.room.pending_bytes == sum(each.held_bytes for each in rig.chunks) <= FULL
    assert rig.ledger == Ledger(received=24, spooled=24)

    rig.feed_until(lambda: settled_as_they_come(rig) == len(bulks))
    assert [chunk.bulk for chunk in rig.chunks] == bulks
    assert rig.ledger == Ledger(received=24, indexed=24)
    assert (rig.room.pending_bytes, rig.spool.documents) == (0, 0)


def settled_as_they_come(rig: SpoolingRig) -> int:
    """Chunks so far."""
    rig.settle([chunk for chunk in rig.chunks if chunk.lot.unsettled])
    return len(rig.chunks)


def test_chunks_of_a_shared_record_come_back_as_one(rig: SpoolingRig) -> None:
    fill(rig)
    bulks = [bulk_of(0), bulk_of(1, 2), bulk_of(3, size=200)]
    for bulk in bulks:
        rig.take(durable(), bulk)
    rig.commit()
    assert rig.room.pending_bytes == FULL
    rig.feed_until(lambda: len(rig.chunks) == 1)
    assert (rig.chunks[0].bulk, rig.chunks[0].count) == (b"".join(bulks), 4)
    assert rig.room.pending_bytes == FULL + rig.chunks[0].held_bytes
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


def test_live_chunks_and_the_backlog_go_on_side_by_side(rig: SpoolingRig) -> None:
    fill(rig)
    old = [bulk_of(n, size=ROOM // 10) for n in range(5)]
    for bulk in old:
        rig.take(durable(), bulk)
        rig.commit()
    rig.room.release(FULL)
    rig.feed_until(lambda: len(rig.chunks) == 2)
    assert not rig.spooling.has_room_for(len(old[0]))
    new = [bulk_of(n, size=ROOM // 10) for n in range(5, 8)]
    for bulk in new:
        rig.take(durable(), bulk)
        rig.commit()
    assert [chunk.bulk for chunk in rig.chunks] == [*old[:2], *new]
    rig.settle(rig.chunks[:1])
    rig.feed_until(lambda: len(rig.chunks) == 6)
    assert rig.chunks[5].bulk == old[2]
    rig.settle(rig.chunks[1:])
    rig.feed_until(lambda: settled_as_they_come(rig) == 8)
    assert rig.ledger == Ledger(received=8, indexed=8)
    assert rig.room.pending_bytes == 0


def test_what_is_deferred_stays_when_the_process_ends(rig: SpoolingRig) -> None:
    fill(rig)
    rig.take(durable(), bulk_of(0), bulk_of(1))
    rig.commit()
    rig.room.release(FULL)
    rig.spooling.stop_feeding()
    assert not rig.spooling.has_room_for(1)
    rig.loop.run_until_complete(rig.spooling.close(WAIT_S))
    assert rig.ledger.spooled == 2
    assert on_disk(rig) == [bulk_of(0, 1)]


def test_what_is_deferred_takes_no_memory(rig: SpoolingRig) -> None:
    """Not even a handle each; nor are the originals of trimmed documents kept."""
    fill(rig)
    for n in range(500):
        rig.take(durable(), bulk_of(n), originals={0: b"o" * 300})
        rig.commit()
    assert rig.room.pending_bytes == FULL
    assert rig.ledger == Ledger(received=500, spooled=500)
    gc.collect()
    kinds = (Chunk, Intake, Record)
    assert sum(isinstance(each, kinds) for each in gc.get_objects()) < 50
    rig.room.release(FULL)
    rig.feed_until(lambda: settled_as_they_come(rig) == 500)
    assert [chunk.bulk for chunk in rig.chunks] == [bulk_of(n) for n in range(500)]


def test_live_chunks_go_on_when_there_is_plenty_of_room_again(rig: SpoolingRig) -> None:
    def is_deferred(n: int) -> bool:
        before = len(rig.chunks)
        rig.take(durable(), bulk_of(n))
        rig.commit()
        return len(rig.chunks) == before

    assert not is_deferred(0)
    fill(rig)
    assert is_deferred(1)
    rig.room.release(FULL // 4)
    assert is_deferred(2)
    rig.room.release(FULL // 4 + 5000)
    assert not is_deferred(3)


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
        rig.feed_until(lambda: len(rig.chunks) == 1)
        assert files.fired == ["pread"]
        assert rig.chunks[0].bulk == bulk_of(0, 1)
        assert rig.ledger == Ledger(received=2, spooled=2)

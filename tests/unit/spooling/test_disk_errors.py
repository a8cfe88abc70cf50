"""A disk that takes nothing or is full: acks fail, documents go on, bodies are shed."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import RequestError, Shed, Unavailable
from ingest.scoreboard import Ledger, Scoreboard
from ingest.spool import SpoolLimits
from tests.spooling_rig import SpoolingRig
from tests.unit.spool.rig import LIMITS
from tests.unit.spool.scripted_files import ScriptedFiles
from tests.unit.spooling.rig import bulk_of, durable


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

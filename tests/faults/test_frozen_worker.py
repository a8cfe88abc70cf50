"""Row 17: a process that stands still and goes on later makes no second copy of anything."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.spool.directory import is_owned
from ingest.spool.files import Files
from tests.fakes import ScriptedElasticsearch, Step
from tests.faults.clusters import ScriptedCluster
from tests.faults.producers import producing
from tests.faults.rig import Fleet, wait_until_gone
from tests.faults.scale import scaled
from tests.service import is_running

STUCK_S = 5  # longer than a start takes on a machine that others use too
STANDSTILL_S = 0.5


@pytest.fixture(name="cluster")
def _cluster(scripted_elasticsearch: ScriptedElasticsearch) -> ScriptedCluster:
    scripted_elasticsearch.set_default(Step(delay_answer_s=0.05))  # some are always on their way
    return ScriptedCluster(scripted_elasticsearch)


def test_worker_that_stands_still_goes_on_or_is_replaced_and_nothing_is_there_twice(
    cluster: ScriptedCluster, tmp_path: Path
) -> None:
    with Fleet(cluster, tmp_path, workers=2, worker_stuck_s=STUCK_S) as fleet:
        with producing(fleet.producer("plain"), fleet.producer("indexed", ack="indexed")):
            for _ in range(scaled(1)):
                fleet.wait_for_acks(5)
                pids = fleet.service.worker_pids
                with standing_still(pids[0]):
                    time.sleep(STANDSTILL_S)
                fleet.wait_for_acks(5)
                assert fleet.service.worker_pids == pids
                restarts = fleet.restarts
                os.kill(pids[1], signal.SIGSTOP)
                fleet.wait_until("its end", lambda: fleet.restarts > restarts)  # noqa: B023
                assert not is_running(pids[1])
                fleet.wait_until_listening()
            fleet.wait_for_acks(5)
        assert "a worker is stuck" in fleet.service.said
        fleet.prove()


def test_frozen_orphan_keeps_what_it_owns_and_delivers_it_when_it_thaws(
    cluster: ScriptedCluster, tmp_path: Path
) -> None:
    with Fleet(cluster, tmp_path) as fleet:
        with producing(fleet.producer("plain", timeout_s=1.0)):
            fleet.wait_for_acks(10)
            (frozen,) = fleet.service.worker_pids
            with standing_still(frozen):
                (kept,) = fleet.directories()
                fleet.kill_supervisor()
                fleet.start()
                fleet.wait_for_acks(10)
                assert is_owned(Files(), kept)
            wait_until_gone(fleet.service, [frozen])
        fleet.prove()


@contextlib.contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """SIGSTOP now, SIGCONT at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)

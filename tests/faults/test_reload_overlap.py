"""Row 16: old and new configuration run side by side and are killed at once.

The bug that this must never have: both wrote their checkpoints to one disk queue, whose name came
from the configuration, and corrupted it. Here a writer's directory is named by a fresh UUID and
locked, so that no file ever has two writers, whatever overlaps and whatever dies.
"""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.spool import check
from ingest.spool.directory import is_owned
from ingest.spool.files import Files
from tests.fakes import ScriptedElasticsearch
from tests.faults.clusters import ScriptedCluster
from tests.faults.producers import producing
from tests.faults.rig import Fleet
from tests.faults.scale import scaled
from tests.service import is_running

WORKERS = 2
TURNS = scaled(1)


@pytest.fixture(name="cluster")
def _cluster(scripted_elasticsearch: ScriptedElasticsearch) -> Iterator[ScriptedCluster]:
    yield ScriptedCluster(scripted_elasticsearch)
    scripted_elasticsearch.resume()


class Overlap:
    """Old workers that can't end, because Elasticsearch doesn't answer, and new ones at work."""

    def __init__(self, fleet: Fleet, config: Path):
        self.fleet = fleet
        self.config = config
        self._changes = 0

    def begin(self) -> list[int]:
        """Gives the pids of all workers, old and new."""
        self._changes += 1
        self.config.write_text(f"flush_documents = {1000 + self._changes}\n")
        self.fleet.hang_up()
        self.fleet.wait_until("the overlap", self.has_begun)
        return self.fleet.service.worker_pids

    def has_begun(self) -> bool:
        """An old worker that no document came to since then ends; the others can't."""
        states = self.states()
        return states["listening"] == WORKERS and states["draining"] > 0

    def states(self) -> Counter[str]:
        return Counter(worker["state"] for worker in self.fleet.service.status()["workers"])


def test_killing_old_and_new_configuration_at_once_loses_and_doubles_nothing(
    cluster: ScriptedCluster, tmp_path: Path
) -> None:
    config = tmp_path / "ingest.toml"
    config.write_text("")
    with Fleet(cluster, tmp_path, workers=WORKERS, config=config, drain_s=60) as fleet:
        overlap = Overlap(fleet, config)
        with producing(fleet.producer("plain"), fleet.producer("keyed", repeats=True)):
            change_without_cost(fleet, config)
            for kill in (kill_workers, kill_supervisor_too) * TURNS:
                fleet.wait_for_acks(5)
                cluster.es.pause()
                pids = overlap.begin()
                fleet.wait_for_acks(5)
                assert_every_file_has_one_writer(fleet, pids)
                kill(fleet, pids)
                cluster.es.resume()
        fleet.prove()


def change_without_cost(fleet: Fleet, config: Path) -> None:
    """Where nothing else goes wrong, nobody notices but the old workers."""
    old = fleet.service.worker_pids
    config.write_text("flush_documents = 500\n")
    fleet.hang_up()
    fleet.wait_until("its end", lambda: not {*old} & {*fleet.service.worker_pids})
    fleet.wait_for_acks(5)
    assert fleet.oracle.count("accepted") == len(fleet.oracle.posts)
    assert fleet.restarts == 0
    assert fleet.service.documents()["lost"] == 0


def kill_workers(fleet: Fleet, pids: list[int]) -> None:
    before = fleet.restarts
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    fleet.wait_until("their replacement", lambda: fleet.restarts >= before + WORKERS)
    fleet.wait_until_listening()


def kill_supervisor_too(fleet: Fleet, pids: list[int]) -> None:
    fleet.kill_all()
    assert not any(map(is_running, pids))
    assert_nothing_is_damaged(fleet)
    fleet.start()


def assert_every_file_has_one_writer(fleet: Fleet, pids: list[int]) -> None:
    """By what each process has open: every worker its own locked directory, and no other's."""
    opened = {pid: open_spool_files(fleet, pid) for pid in pids}
    assert sum(map(bool, opened.values())) > WORKERS
    writers = Counter(file for files in opened.values() for file in files)
    assert [file for file, count in writers.items() if count > 1] == []
    assert {Path(file).parent for file in writers} <= {
        path for path in fleet.directories() if is_owned(Files(), path)
    }


def open_spool_files(fleet: Fleet, pid: int) -> set[str]:
    """Locks, cursors and spool files that a process may write to; none where it has ended."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.add(os.readlink(entry))
    root = f"{fleet.data_dir.resolve()}/spool/"
    return {file for file in found if file.startswith(root) and not Path(file).is_dir()}


def assert_nothing_is_damaged(fleet: Fleet) -> None:
    def has_owner() -> bool:
        """A thread that waits for the disk outlives its killed process by a moment."""
        return any(is_owned(Files(), path) for path in fleet.directories())

    fleet.wait_until("the end of all locks", lambda: not has_owner())
    reports = [check(path) for path in fleet.directories()]
    assert sum(report.unsettled_documents for report in reports) > 0
    assert [report for report in reports if report.is_damaged] == []

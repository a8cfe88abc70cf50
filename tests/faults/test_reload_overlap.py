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
from tests.faults.rig import SCALE, Fleet

WORKERS = 2
TURNS = max(1, round(SCALE))


@pytest.fixture(name="cluster")
def _cluster(scripted_elasticsearch: ScriptedElasticsearch) -> Iterator[ScriptedCluster]:
    yield ScriptedCluster(scripted_elasticsearch)
    scripted_elasticsearch.resume()


class Overlap:
    """Old workers that can't end, because Elasticsearch doesn't answer, and new ones at work."""

    def __init__(self, fleet: Fleet, config: Path):
        self.fleet = fleet
        self.config = config

    def begin(self, flush_documents: int) -> list[int]:
        """Gives the pids of all workers, old and new."""
        self.config.write_text(f"flush_documents = {flush_documents}\n")
        self.fleet.hang_up()
        self.fleet.wait_until("the overlap", self.has_begun)
        return self.fleet.service.worker_pids

    def has_begun(self) -> bool:
        """An old worker that no document came to since then ends; the others can't."""
        states = self.states()
        return states["listening"] == WORKERS and states["draining"] > 0

    def states(self) -> Counter[str]:
        return Counter(worker["state"] for worker in self.fleet.service.status()["workers"])


@pytest.mark.parametrize(
    ("victims", "turns"), [("all workers", 2 * TURNS), ("supervisor too", TURNS)], ids=str
)
def test_killing_old_and_new_configuration_at_once_loses_and_doubles_nothing(
    victims: str, turns: int, cluster: ScriptedCluster, tmp_path: Path
) -> None:
    config = tmp_path / "ingest.toml"
    config.write_text("")
    with Fleet(cluster, tmp_path, workers=WORKERS, config=config, drain_s=60) as fleet:
        overlap = Overlap(fleet, config)
        with producing(fleet.producer("plain"), fleet.producer("keyed", repeats=True)):
            for turn in range(turns):
                fleet.wait_for_acks(10)
                cluster.es.pause()
                pids = overlap.begin(flush_documents=1000 + turn)
                fleet.wait_for_acks(10)
                assert_every_file_has_one_writer(fleet, pids)
                if victims == "all workers":
                    kill_at_once(fleet, pids)
                else:
                    fleet.kill_all()
                    assert_nothing_is_damaged(fleet)
                    fleet.start()
                cluster.es.resume()
        fleet.prove()


def test_changed_configuration_under_load_loses_nothing(
    cluster: ScriptedCluster, tmp_path: Path
) -> None:
    config = tmp_path / "ingest.toml"
    config.write_text("")
    with Fleet(cluster, tmp_path, workers=WORKERS, config=config) as fleet:
        with producing(fleet.producer("plain"), fleet.producer("indexed", ack="indexed")):
            for turn in range(TURNS):
                fleet.wait_for_acks(10)
                config.write_text(f"flush_documents = {100 + turn}\n")
                fleet.hang_up()
            fleet.wait_until_listening()
            fleet.wait_for_acks(10)
        assert fleet.restarts == 0
        assert fleet.service.documents()["lost"] == 0
        fleet.prove()


def kill_at_once(fleet: Fleet, pids: list[int]) -> None:
    before = fleet.restarts
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    fleet.wait_until("their replacement", lambda: fleet.restarts >= before + WORKERS)
    fleet.wait_until_listening()


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
    reports = [check(path) for path in fleet.directories()]
    assert sum(report.unsettled_documents for report in reports) > 0
    assert not any(report.is_damaged or report.is_owned for report in reports)

"""Rows 1, 2 and 11 once more against a real Elasticsearch, which has the last word on `_id`s."""

from pathlib import Path

import pytest

from tests.faults.clusters import RealCluster
from tests.faults.gate import Gate
from tests.faults.producers import producing
from tests.faults.rig import Fleet


@pytest.fixture(name="cluster")
def _cluster(elasticsearch_url: str, index_name: str) -> RealCluster:
    return RealCluster(elasticsearch_url, index_name)


def test_killed_services_leave_one_copy_of_everything(cluster: RealCluster, tmp_path: Path) -> None:
    config = tmp_path / "ingest.toml"
    config.write_text('failpoint = "bulk_answer:3"\n')
    with Fleet(cluster, tmp_path, config=config) as fleet:
        with producing(fleet.producer("plain"), fleet.producer("keyed", repeats=True)):
            fleet.wait_until("two deaths", lambda: fleet.restarts >= 2)
            config.write_text("")
            fleet.hang_up()
            fleet.wait_until_listening()
            fleet.wait_for_acks(10)
            fleet.kill_all()
            fleet.start(workers=2)
            fleet.wait_for_acks(10)
            fleet.kill_worker()
            fleet.wait_for_acks(10)
        fleet.prove()


def test_everything_arrives_when_the_node_is_back(
    elasticsearch_url: str, index_name: str, tmp_path: Path
) -> None:
    with Gate(elasticsearch_url) as gate:
        cluster = RealCluster(elasticsearch_url, index_name, gate.url)
        with Fleet(cluster, tmp_path) as fleet:
            with producing(fleet.producer("plain")):
                fleet.wait_for_acks(10)
                gate.shut()
                fleet.wait_for_acks(30)
                gate.open()
                fleet.wait_for_acks(10)
            fleet.prove()

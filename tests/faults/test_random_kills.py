"""Row 2: kill -9 of a worker, of the supervisor alone, of everything, at random moments."""

import random
import time
from pathlib import Path

from ingest.spool.directory import is_owned
from ingest.spool.files import Files
from tests.fakes import ScriptedElasticsearch
from tests.faults.clusters import ScriptedCluster
from tests.faults.producers import producing
from tests.faults.rig import Fleet, wait_until_gone
from tests.faults.scale import scaled
from tests.http_client import RawClient, chunk, chunked_head
from tests.ports import free_port
from tests.service import Service

SEED = 22
WORKERS_MAX = 3
LONGEST_LIFE_S = 0.8


class Killer:
    """Kills, and starts again what nobody else would, with fewer or more workers."""

    def __init__(self, fleet: Fleet, es: ScriptedElasticsearch, seed: int):
        self.fleet = fleet
        self.es = es
        self.chance = random.Random(seed)
        self.orphans: list[int] = []
        self.killed: list[int] = []

    def worker(self) -> None:
        index = self.chance.randrange(len(self.fleet.service.worker_pids))
        before = self.fleet.restarts
        self.killed.append(self.fleet.kill_worker(index))
        self.fleet.wait_until("a replacement", lambda: self.fleet.restarts > before)

    def supervisor(self) -> None:
        """Its workers drain, beside the next generation's."""
        self.killed.append(self.fleet.service.process.pid)
        self.orphans += self.fleet.kill_supervisor()
        self.fleet.start(workers=self.chance.randint(2, WORKERS_MAX))

    def everything(self) -> None:
        """While Elasticsearch is away: fewer workers find the directories of more."""
        self.es.stop()
        self.fleet.wait_for_acks(5)
        self.killed += self.fleet.service.worker_pids
        self.fleet.kill_all()
        self.fleet.start(workers=1)
        assert len(self.fleet.directories()) > 1
        self.es.start()


def test_no_moment_is_a_bad_one_to_kill_anything(
    scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path
) -> None:
    cluster = ScriptedCluster(scripted_elasticsearch)
    with Fleet(cluster, tmp_path, workers=2) as fleet:
        killer = Killer(fleet, cluster.es, SEED)
        kinds = [killer.worker, killer.supervisor, killer.everything, killer.worker]
        kinds *= scaled(1)
        killer.chance.shuffle(kinds)
        plain, keyed = fleet.producer("plain"), fleet.producer("keyed", repeats=True)
        with producing(plain, keyed, fleet.producer("indexed", ack="indexed")):
            for kill in kinds:
                fleet.wait_for_acks(5)
                time.sleep(killer.chance.uniform(0, LONGEST_LIFE_S))
                kill()
            fleet.wait_for_acks(10)
        assert len(killer.killed) >= len(kinds)
        wait_until_gone(fleet.service, killer.killed + killer.orphans)
        fleet.prove()


def test_what_a_service_left_goes_on_with_another_one_on_the_same_data(
    scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path
) -> None:
    cluster = ScriptedCluster(scripted_elasticsearch)
    with Fleet(cluster, tmp_path) as fleet:
        cluster.es.stop()
        with producing(fleet.producer("first")):
            fleet.wait_for_acks(10)
        with Service(fleet.data_dir, cluster.url, **fleet.settings) as other:  # type: ignore[arg-type]
            owned = [is_owned(Files(), path) for path in fleet.directories()]
            assert owned == [True, True]
            fleet.kill_all()
            fleet.adopt_service(other)
            cluster.es.start()
            with producing(fleet.producer("second")):
                fleet.wait_for_acks(10)
            fleet.prove()


def test_next_service_gets_the_port_of_one_whose_supervisor_was_killed(
    scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path
) -> None:
    """Orphaned workers finish what they read, but they let the port go at once."""
    cluster = ScriptedCluster(scripted_elasticsearch)
    listen = f"127.0.0.1:{free_port()}"
    with (
        Fleet(cluster, tmp_path, listen=listen, drain_s=2) as fleet,
        RawClient(fleet.url()) as client,
    ):
        client.send(chunked_head("/ingest?index=load") + chunk(b'{"key":"half","n":1}\n'))
        fleet.oracle.note_sent({"half": b'{"key":"half","n":1}'})
        fleet.service.wait_until(lambda: fleet.service.documents()["received"] == 1)
        (orphan,) = fleet.kill_supervisor()
        fleet.start()
        client.send_what_is_taken(chunk(b""))
        wait_until_gone(fleet.service, [orphan])
        fleet.prove()

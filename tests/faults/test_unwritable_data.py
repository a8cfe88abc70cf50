"""Rows 8 and 10: the data directory is read-only, not a directory, or full; quotas hold."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tests.fakes import ScriptedElasticsearch
from tests.faults.clusters import ScriptedCluster
from tests.faults.mounted import MountedService
from tests.faults.producers import make_documents, producing
from tests.faults.rig import SETTINGS, Fleet, MiB
from tests.faults.side_by_side import side_by_side
from tests.service import Answer, Service, is_balanced

DOCUMENTS = 20  # a post; few enough in all that none of them is one that is refused for good
CRASH_LOOP_S = 1.5  # in which a worker that dies at its start would do so
CRASHES = 2


@contextmanager
def read_only(directory: Path, es: ScriptedElasticsearch) -> Iterator[Service]:
    with MountedService(directory / "data", es.url, "ro", **SETTINGS) as service:
        yield service


@contextmanager
def no_directory(directory: Path, es: ScriptedElasticsearch) -> Iterator[Service]:
    (directory / "spool").write_text("somebody's file")
    with Service(directory, es.url, **SETTINGS) as service:  # type: ignore[arg-type]
        yield service


Unwritable = Callable[[Path, ScriptedElasticsearch], AbstractContextManager[Service]]


def test_service_that_can_not_write_says_so_and_does_what_needs_no_disk(tmp_path: Path) -> None:
    side_by_side(do_what_needs_no_disk, [read_only, no_directory], tmp_path)


def do_what_needs_no_disk(unwritable: Unwritable, directory: Path) -> None:
    with ScriptedElasticsearch() as es, unwritable(directory, es) as service:
        for _ in range(3):
            refused = service.post(b'{"n":0}\n', ack="durable")
            assert refused.status == 503
            assert refused.json["error"]["type"] == "spool_unavailable"
            assert "spool" in refused.json["error"]["reason"]
            assert int(refused.headers["retry-after"]) > 0
        assert service.post(b'{"n":1}\n', index="load", ack="memory").status == 202
        assert service.post(b'{"n":2}\n', index="load", ack="indexed").status == 200
        time.sleep(CRASH_LOOP_S)
        assert service.status()["worker_restarts"] == 0
        assert is_balanced(service.wait_until_settled())
        assert service.terminate() == 0
        sources = sorted(each.source for each in es.documents("load"))
    assert sources == [b'{"n":1}', b'{"n":2}']


def test_full_disk_refuses_then_drains_without_a_free_byte_and_takes_again(
    scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path
) -> None:
    es = scripted_elasticsearch
    es.stop()
    with MountedService(tmp_path / "data", es.url, "size=1m", **SETTINGS) as service:
        acked = fill(service)
        assert len(acked) > 10 * DOCUMENTS
        answer = service.post(b'{"n":0}\n', index="load")
        assert answer.status in (429, 503)
        assert answer.json["error"]["type"] == "spool_full"
        assert service.post(b'{"n":1}\n', index="load", ack="memory").status == 202
        es.start()
        es.wait_until(lambda: acked <= {each.source for each in es.documents("load")}, 30)
        service.wait_until(lambda: post(service, b'{"n":2}\n').status == 202)
        assert service.status()["worker_restarts"] == 0
        assert is_balanced(service.wait_until_settled())
        assert service.documents()["lost"] == 0
        assert service.terminate() == 0


def fill(service: Service) -> set[bytes]:
    """Posts until there is no room; gives what was acked."""
    chance = random.Random(8)
    acked: set[bytes] = set()
    for start in range(0, 10_000, DOCUMENTS):
        lines = list(make_documents(f"fill-{start}", 0, DOCUMENTS, chance).values())
        if post(service, b"\n".join(lines) + b"\n").status != 202:
            return acked
        acked.update(lines)
    raise AssertionError("the disk did not fill")


def post(service: Service, body: bytes) -> Answer:
    return service.post(body, index="load", ack="durable")


def test_crashes_do_not_widen_the_quota(
    scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path
) -> None:
    """Each new worker has a directory of its own; what the dead ones left takes room too."""
    cluster = ScriptedCluster(scripted_elasticsearch)
    with Fleet(cluster, tmp_path, spool_quota_bytes=1 * MiB) as fleet:
        cluster.es.stop()
        with producing(fleet.producer("plain", pause_s=0), fleet.producer("other", pause_s=0)):
            for _ in range(CRASHES):
                shed = fleet.oracle.count_status(429)
                fleet.wait_until("429", lambda: fleet.oracle.count_status(429) > shed)  # noqa: B023
                fleet.kill_worker()
                fleet.wait_until_listening()
        largest = sum(file.stat().st_size for file in fleet.data_dir.glob("spool/*/*.spool"))
        assert largest < 1.5 * MiB  # a second's worth may come before a new worker has looked
        cluster.es.start()
        fleet.prove()

"""Row 11: Elasticsearch is down at the start, in the middle, for long, or a black hole."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import ScriptedElasticsearch, Step, refuse
from tests.faults.clusters import ScriptedCluster
from tests.faults.gate import Gate
from tests.faults.producers import producing
from tests.faults.rig import Fleet, MiB
from tests.faults.scale import SCALE
from tests.faults.side_by_side import side_by_side

BACKOFF_MAX_S = 0.5
OUTAGE_S = 2.0 * SCALE
REQUEST_TIMEOUT_S = 1.0
WORKERS = 6
CONNECTIONS = 60  # enough for each worker to get some
ANSWER_S = 3.0
FAILED = "elasticsearch takes no documents"  # a worker says it once
QUICK = {"INGEST_ELASTICSEARCH__REQUEST_TIMEOUT_S": str(REQUEST_TIMEOUT_S)}


class GatedCluster(ScriptedCluster):
    """A scripted Elasticsearch behind a gate."""

    def __init__(self, es: ScriptedElasticsearch, gate: Gate):
        super().__init__(es)
        self.gate = gate

    @property
    def url(self) -> str:
        return self.gate.url


@contextlib.contextmanager
def gated() -> Iterator[GatedCluster]:
    with ScriptedElasticsearch() as es, Gate(es.url) as gate:
        yield GatedCluster(es, gate)


@pytest.fixture(name="cluster")
def _cluster() -> Iterator[GatedCluster]:
    with gated() as cluster:
        yield cluster


def test_long_outage_fills_the_spool_then_sheds_and_loses_nothing(tmp_path: Path) -> None:
    side_by_side(endure, ["down at the start", "black hole"], tmp_path)


def endure(kind: str, directory: Path) -> None:
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(gated())
        if kind == "down at the start":
            cluster.gate.shut()
        settings: dict[str, object] = {"spool_quota_bytes": 1 * MiB, "environment": QUICK}
        fleet = stack.enter_context(Fleet(cluster, directory, **settings))
        plain, keyed = fleet.producer("plain", pause_s=0), fleet.producer("keyed", repeats=True)
        with producing(plain, keyed):
            fleet.wait_for_acks(20)
            if kind == "black hole":
                cluster.gate.swallow()
            before = fleet.oracle.count("accepted")
            fleet.wait_until("429", lambda: fleet.oracle.count_status(429) > 0)
            assert fleet.oracle.count("accepted") > before + 50  # 202 for as long as there is room
            assert_full_spool_is_told(fleet)
            if kind == "black hole":
                assert_one_asks_at_a_time(fleet, cluster.gate)
            cluster.gate.open()
            fleet.wait_for_acks(20)
        assert {post.status for post in fleet.oracle.posts} == {202, 429}
        fleet.prove()


def assert_full_spool_is_told(fleet: Fleet) -> None:
    """It bars no document that needs no room in it."""
    answer = fleet.service.post(b'{"n":1}\n', index="load")
    assert (answer.status, answer.json["error"]["type"]) == (429, "spool_full")
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert fleet.service.metrics()["ingest_spool_bytes"] <= 1 * MiB
    assert fleet.service.get("/readyz").status == 200
    fleet.oracle.note_sent({"in memory": b'{"key":"in memory","n":1}'})
    body = b'{"key":"in memory","n":1}\n'
    assert fleet.service.post(body, index="load", ack="memory").status == 202


def assert_one_asks_at_a_time(fleet: Fleet, gate: Gate) -> None:
    unanswered = 'ingest_bulk_requests_total{result="unanswered"}'
    fleet.wait_until("a failure", lambda: fleet.service.metrics()[unanswered] > 0)
    time.sleep(REQUEST_TIMEOUT_S + 0.2)  # what was on its way together with that one
    gate.forget_counts()
    time.sleep(OUTAGE_S)
    assert gate.most_held <= 1 + 1  # and the supervisor's own question, every 10 s
    assert gate.requests <= OUTAGE_S / REQUEST_TIMEOUT_S + 2


def test_refusing_elasticsearch_is_not_hammered(cluster: GatedCluster, tmp_path: Path) -> None:
    with Fleet(cluster, tmp_path, backoff_max_s=BACKOFF_MAX_S) as fleet:
        with producing(fleet.producer("plain", pause_s=0)):
            fleet.wait_for_acks(10)
            cluster.es.set_default(refuse(503), path="/_cluster/health")
            cluster.es.set_default(refuse(503))
            refused = 'ingest_bulk_requests_total{result="refused"}'
            fleet.wait_until("a refusal", lambda: fleet.service.metrics()[refused] > 0)
            cluster.gate.forget_counts()
            bulk_requests = len(cluster.es.bulk_requests)
            time.sleep(OUTAGE_S)
            requests = cluster.gate.requests
            bulk_requests = len(cluster.es.bulk_requests) - bulk_requests
        assert bulk_requests <= 8  # those that were on their way
        # A pause is random from 0 to its ceiling, so a quarter of a second on average.
        assert requests <= 8 + 4 * OUTAGE_S / (BACKOFF_MAX_S / 2)
        cluster.es.set_default(Step(), path="/_cluster/health")
        cluster.es.set_default(Step())
        fleet.prove()


def test_many_workers_ask_no_more_often_than_one_and_come_back_by_and_by(
    cluster: GatedCluster, tmp_path: Path
) -> None:
    """Each has documents, and each of them is a batch of its own that could be tried."""
    cluster.es.set_default(refuse(503), path="/_cluster/health")
    cluster.es.set_default(refuse(503))
    with Fleet(
        cluster, tmp_path, workers=WORKERS, backoff_max_s=BACKOFF_MAX_S, flush_documents=1
    ) as fleet:
        for number in range(CONNECTIONS):
            document = b'{"key":"%d","n":1}' % number
            fleet.oracle.note_sent({f"{number}": document})
            assert fleet.service.post(document + b"\n", index="load", ack="durable").status == 202
        fleet.wait_until("failures of all", lambda: fleet.said.count(FAILED) == WORKERS)
        time.sleep(2 * BACKOFF_MAX_S)  # what was on its way
        tried = len(cluster.es.bulk_requests)
        asked = questions_in(OUTAGE_S, cluster.gate)
        assert len(cluster.es.bulk_requests) == tried
        assert asked <= 2 + 2 * OUTAGE_S / (BACKOFF_MAX_S / 2)  # each for itself: 3 times that

        cluster.es.set_default(Step(delay_answer_s=ANSWER_S))
        cluster.es.set_default(Step(), path="/_cluster/health")
        cluster.es.wait_for_bulk_requests(tried + 1)
        time.sleep(ANSWER_S / 3)
        assert len(cluster.es.bulk_requests) - tried <= WORKERS  # one each, until it is answered
        cluster.es.set_default(Step())
        fleet.prove()


def questions_in(seconds: float, gate: Gate) -> int:
    gate.forget_counts()
    time.sleep(seconds)
    return gate.requests

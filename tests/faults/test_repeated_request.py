"""A producer that repeats a whole request, because its answer was lost, leaves one copy."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.faults.clusters import ScriptedCluster
from tests.faults.rig import PROBE, Fleet
from tests.faults.side_by_side import side_by_side
from tests.http_client import ConnectionEnded, RawClient, post

DOCUMENTS = [b'{"key":"k-%d","n":%d}' % (n, n) for n in range(50)]
REFUSED = {10: b"{torn", 30: b"[1]"}  # by position among all lines
FIRST = b'{"key":"first","n":0}'
KEY = {"idempotency-key": "order 66"}


@pytest.fixture(name="cluster")
def _cluster(scripted_elasticsearch: ScriptedElasticsearch) -> Iterator[ScriptedCluster]:
    yield ScriptedCluster(scripted_elasticsearch)
    scripted_elasticsearch.resume()


def test_repeat_after_the_death_of_the_worker_leaves_one_copy(tmp_path: Path) -> None:
    """The worker has put the documents onto its disk, or into Elasticsearch, and dies then."""
    cases = [("durable", "before_ack:2"), ("indexed", "bulk_answer:2")]
    side_by_side(repeat_after_death, cases, tmp_path)


def repeat_after_death(case: tuple[str, str], directory: Path) -> None:
    ack, moment = case
    with ScriptedElasticsearch() as es, contextlib.ExitStack() as stack:
        cluster = ScriptedCluster(es)
        fleet = stack.enter_context(Fleet(cluster, directory, failpoint=moment))
        fleet.oracle.note_sent({f"k-{n}": line for n, line in enumerate(DOCUMENTS)})
        fleet.oracle.note_sent({"first": FIRST})
        assert fleet.service.post(FIRST + b"\n", index="load", ack=ack).status in (200, 202)
        cluster.es.wait_for_documents(1)
        with RawClient(fleet.url()) as client:
            client.send(post(f"/ingest?index=load&ack={ack}", body(), KEY))
            with pytest.raises(ConnectionEnded):
                client.read_answer()
        fleet.wait_until("the death of the worker", lambda: fleet.restarts == 1)
        answer = fleet.service.post(body(), index="load", ack=ack, headers=KEY)
        refused = {item["position"] for item in answer.json["items"]}
        assert (answer.json["accepted"], refused) == (len(DOCUMENTS), set(REFUSED))
        fleet.prove()
        assert sorted(cluster.arrived()) == sorted([*DOCUMENTS, FIRST, PROBE])


def test_repeats_at_the_same_time_leave_one_copy(cluster: ScriptedCluster, tmp_path: Path) -> None:
    """A producer that times out and repeats while the first is still under way."""
    with Fleet(cluster, tmp_path, workers=2) as fleet, contextlib.ExitStack() as stack:
        fleet.oracle.note_sent({f"k-{n}": line for n, line in enumerate(DOCUMENTS)})
        clients = [stack.enter_context(RawClient(fleet.url())) for _ in range(8)]
        for client in clients:
            client.send(post("/ingest?index=load", body(), KEY))
        assert {client.read_answer().status for client in clients} == {202}
        fleet.service.wait_until_settled()
        assert fleet.service.documents()["duplicate"] == 7 * len(DOCUMENTS)
        fleet.prove()
        assert sorted(cluster.arrived()) == sorted([*DOCUMENTS, PROBE])


def body() -> bytes:
    lines = list(DOCUMENTS)
    for position, line in REFUSED.items():
        lines.insert(position, line)
    return b"\n".join(lines) + b"\n"

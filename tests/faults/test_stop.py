"""Row 15: SIGTERM under load, once and twice, with bodies that are half sent."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.fakes import ScriptedElasticsearch, Step
from tests.faults.clusters import ScriptedCluster
from tests.faults.producers import producing
from tests.faults.rig import Fleet
from tests.faults.side_by_side import side_by_side
from tests.http_client import RawClient, chunk, chunked_head
from tests.service import is_running

DRAIN_S = 3.0
MARGIN_S = 8.0  # to kill and to end, on a machine that others use too
HALF_SENT = 5


Fault = Callable[[ScriptedElasticsearch], AbstractContextManager[None]]


@contextlib.contextmanager
def slow(es: ScriptedElasticsearch) -> Iterator[None]:
    es.set_default(Step(delay_answer_s=0.5))
    yield
    es.set_default(Step())


@contextlib.contextmanager
def gone(es: ScriptedElasticsearch) -> Iterator[None]:
    es.stop()
    yield
    es.start()


def test_stop_under_load_ends_in_time_with_zero_and_loses_nothing_acked(tmp_path: Path) -> None:
    """Once while Elasticsearch is slow, and once, with two signals, while it is gone."""
    side_by_side(stop_under_load, [(slow, 1), (gone, 2)], tmp_path)


def stop_under_load(case: tuple[Fault, int], directory: Path) -> None:
    fault, signals = case
    with (
        ScriptedElasticsearch() as es,
        Fleet(ScriptedCluster(es), directory, workers=2, drain_s=DRAIN_S) as fleet,
    ):
        indexed = fleet.producer("indexed", ack="indexed")
        with producing(fleet.producer("plain"), indexed), contextlib.ExitStack() as clients:
            fleet.wait_for_acks(10)
            with fault(es):
                send_halves(fleet, clients)
                fleet.wait_for_acks(10)
                stop_in_time(fleet, signals)
            fleet.start()
            fleet.wait_for_acks(10)
        fleet.prove()


def stop_in_time(fleet: Fleet, signals: int) -> None:
    service, pids = fleet.service, fleet.service.worker_pids
    started = time.monotonic()
    for _ in range(signals - 1):
        service.signal(signal.SIGTERM)
        service.wait_until(lambda: "draining" in service.said)
    assert fleet.stop() == 0
    assert time.monotonic() - started < DRAIN_S + MARGIN_S
    assert not any(map(is_running, pids))


def send_halves(fleet: Fleet, clients: contextlib.ExitStack) -> None:
    """Bodies whose end never comes; their first documents may arrive."""
    for number in range(HALF_SENT):
        key = f"half-{number}"
        line = b'{"key":"%b","n":1}' % key.encode()
        fleet.oracle.note_sent({key: line})
        client = clients.enter_context(RawClient(fleet.url()))
        client.send(chunked_head("/ingest?index=load") + chunk(line + b'\n{"key":"torn'))

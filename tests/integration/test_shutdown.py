"""Signals and the end: what was acked is delivered, or is there for the next service."""

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.fakes import ScriptedElasticsearch, Step, refuse
from tests.http_client import RawClient, chunk, chunked_head, request
from tests.numbered import indexed, lines
from tests.service import Service, is_balanced, is_running


@pytest.mark.parametrize("is_ctrl_c", [False, True], ids=["SIGTERM", "ctrl_c"])
def test_signal_drains_everything_that_was_acked(
    is_ctrl_c: bool, es: ScriptedElasticsearch, tmp_path: Path
) -> None:
    """Ctrl-C reaches the whole process group: the workers must not heed it."""
    es.set_default(Step(delay_answer_s=0.3))
    with Service(tmp_path, es.url, workers=2, flush_interval_s=5) as service:
        for start in range(0, 300, 10):
            assert service.post(lines(range(start, start + 10)), ack="memory").status == 202
        pids = service.worker_pids
        if is_ctrl_c:
            os.killpg(service.process.pid, signal.SIGINT)
        else:
            service.signal(signal.SIGTERM)
        assert service.wait_for_end() == 0
        assert not any(map(is_running, pids))
    assert indexed(es) == Counter(range(300))


def test_body_that_is_being_read_is_finished_and_answered_before_the_end(
    es: ScriptedElasticsearch, tmp_path: Path
) -> None:
    """Idle connections don't hold that up."""
    with (
        Service(tmp_path, es.url, drain_s=600) as service,
        RawClient(service.url) as idle,
        RawClient(service.url) as client,
    ):
        idle.send(request("GET", "/ingest"))
        assert idle.read_answer().status == 405
        client.send(chunked_head("/ingest?ack=indexed") + chunk(b'{"n":0}\n'))
        es.wait_until(lambda: len(es.documents()) == 1)
        service.signal(signal.SIGTERM)
        service.wait_until(lambda: service.get("/readyz").status == 503)
        client.send(chunk(b'{"n":1}\n') + chunk(b""))
        answer = client.read_answer()
        client.disconnect()
        assert (answer.status, answer.json["received"]) == (200, 2)
        assert answer.headers["connection"] == "close"
        assert idle.is_ended()
        assert service.wait_for_end(timeout_s=30) == 0
    assert len(es.documents()) == 2


def test_second_signal_ends_at_once(es: ScriptedElasticsearch, tmp_path: Path) -> None:
    es.set_default(refuse(503))
    with Service(tmp_path, es.url, drain_s=600) as service:
        assert service.post(lines(range(10)), ack="memory").status == 202
        pids = service.worker_pids
        service.signal(signal.SIGTERM)
        service.wait_until(lambda: service.get("/readyz").status == 503)
        assert all(map(is_running, pids))
        service.signal(signal.SIGTERM)
        service.wait_for_end(timeout_s=20)
        assert not any(map(is_running, pids))
        assert "lost=10" in re.sub(r"\x1b\[[0-9;]*m", "", service.said)


def test_drain_ends_when_its_time_is_over(es: ScriptedElasticsearch, tmp_path: Path) -> None:
    es.pause()
    with Service(tmp_path, es.url, drain_s=1) as service:
        assert service.post(lines(range(10)), ack="memory").status == 202
        pids = service.worker_pids
        service.terminate()
        assert not any(map(is_running, pids))
        assert "lost=10" in re.sub(r"\x1b\[[0-9;]*m", "", service.said)


def test_durable_documents_that_could_not_be_delivered_are_by_the_next_service(
    es: ScriptedElasticsearch, tmp_path: Path
) -> None:
    es.set_default(refuse(503))
    with Service(tmp_path, es.url, workers=2, backoff_max_s=0.2) as service:
        for n in range(40):
            assert service.post(lines(range(n, n + 1)), ack="durable").status == 202
        assert service.documents()["spooled"] == 40
        assert service.terminate() == 0
    es.set_default(Step())
    with Service(tmp_path, es.url) as service:
        es.wait_for_documents(40, timeout_s=30)
        documents = service.wait_until_settled()
        assert (documents["recovered"], documents["indexed"]) == (40, 40)
        assert is_balanced(documents)
    assert indexed(es) == Counter(range(40))


def test_orphaned_workers_deliver_what_they_hold_and_end(
    es: ScriptedElasticsearch, tmp_path: Path
) -> None:
    es.pause()
    with Service(tmp_path, es.url, workers=2) as service:
        for n in range(40):
            assert service.post(lines(range(n, n + 1)), ack="memory").status == 202
        pids = service.worker_pids
        service.kill()
        assert all(map(is_running, pids))
        es.resume()
        service.wait_until(lambda: not any(map(is_running, pids)))
    assert indexed(es) == Counter(range(40))

"""A service that is looked into while one of its workers hangs or dies, and while it stops."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.required_tools import skip_or_fail
from tests.service import Answer, Service

LONG_S = 25  # longer than anything here takes, so that nothing here can have waited for its end


@pytest.fixture(name="service")
def _service(scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path) -> Iterator[Service]:
    with Service(tmp_path, scripted_elasticsearch.url, workers=2) as service:
        answer = service.get("/debug/stacks")
        if answer.status == 403:
            skip_or_fail(f"permission to trace processes: {answer.body.decode()}")
        yield service


@contextmanager
def long_profile(service: Service) -> Iterator["Future[Answer]"]:
    """Of all workers; it is being taken inside, and the service is stopped on leaving."""
    with ThreadPoolExecutor(1) as pool:
        profile = pool.submit(service.get, f"/debug/profile?format=raw&seconds={LONG_S}")
        service.wait_until(lambda: is_recording(service.process.pid))
        yield profile
        assert not profile.done()
        assert service.terminate() == 0


def is_recording(supervisor: int) -> bool:
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    return any(Path(f"/proc/{child}/comm").read_text() == "py-spy\n" for child in children)


def stacks(service: Service) -> str:
    answer = service.get("/debug/stacks")
    assert answer.status == 200, answer.body
    return answer.body.decode()


def test_all_stacks_are_shown_while_a_profile_is_taken(service: Service) -> None:
    with long_profile(service):
        text = stacks(service)
        for pid in (service.process.pid, *service.worker_pids):
            assert f"Process {pid}: " in text
        assert text.count("main (ingest/worker.py:") == 2
        assert service.get("/debug/profile?seconds=1").status == 409


def test_a_profile_does_not_keep_the_service_from_stopping(service: Service) -> None:
    with long_profile(service) as profile:
        pass
    assert profile.result().status == 503
    assert profile.result().json["error"]["reason"] == "the service stops"
    assert "Traceback" not in service.said


def test_a_worker_that_hangs_or_dies_costs_nobody_elses_stacks(service: Service) -> None:
    hanging, dying = service.worker_pids
    os.kill(hanging, signal.SIGSTOP)
    os.kill(dying, signal.SIGKILL)
    text = stacks(service)
    os.kill(hanging, signal.SIGCONT)
    assert "    _serve (ingest/__main__.py:" in text
    assert f"\nProcess {hanging}: " in text
    assert text.count("main (ingest/worker.py:") >= 1

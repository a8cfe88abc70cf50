"""The embedded engine lives and dies with the service, and its data outlives both."""

import importlib.util
import json
import os
import re
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.required_tools import skip_or_fail
from tests.service import Service, is_running


@pytest.fixture(autouse=True, scope="module")
def _engine_is_installed() -> None:
    if importlib.util.find_spec("noida_db") is None:
        skip_or_fail("the package noida-db")


def engine_pid(service: Service) -> int:
    return int((service.data_dir / "engine" / "engine.pid").read_text())


def count(service: Service, index: str) -> int:
    """What a search finds in the engine."""
    (host,) = service.status()["elasticsearch"]["hosts"]
    urllib.request.urlopen(urllib.request.Request(f"{host}/{index}/_refresh", method="POST"))
    with urllib.request.urlopen(f"{host}/{index}/_count", timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    counted: int = found["count"]
    return counted


def test_engine_is_stopped_last_and_its_data_is_there_after_a_restart(tmp_path: Path) -> None:
    """Ctrl-C reaches the whole process group; what the workers still hold must be delivered."""
    with Service(tmp_path, "embedded", flush_interval_s=30) as service:
        for n in range(20):
            assert service.post(b'{"n":%d}\n' % n, index="kept", ack="memory").status == 202
        pid = engine_pid(service)
        os.killpg(service.process.pid, signal.SIGINT)
        assert service.wait_for_end() == 0
        assert not is_running(pid)
        assert "indexed=20 lost=0" in re.sub(r"\x1b\[[0-9;]*m", "", service.said)
    with Service(tmp_path, "embedded", flush_interval_s=0.02) as service:
        assert count(service, "kept") == 20
        assert service.post(b'{"n":20}\n', index="kept", ack="indexed").status == 200
        assert count(service, "kept") == 21


def test_engine_that_dies_is_started_again_with_its_data(tmp_path: Path) -> None:
    with Service(tmp_path, "embedded", flush_interval_s=0.02, backoff_max_s=0.5) as service:
        assert service.post(b'{"n":1}\n', index="kept", ack="indexed").status == 200
        pid = engine_pid(service)
        os.kill(pid, signal.SIGKILL)
        service.wait_until(lambda: engine_pid(service) != pid)
        assert service.post(b'{"n":2}\n', index="kept", ack="indexed").status == 200
        assert service.get("/readyz").status == 200


def test_engine_of_a_killed_supervisor_does_not_hinder_the_next(tmp_path: Path) -> None:
    with Service(tmp_path, "embedded", flush_interval_s=0.02) as service:
        assert service.post(b'{"n":1}\n', index="kept", ack="indexed").status == 200
        pid = engine_pid(service)
        pids = service.worker_pids
        service.kill()
        service.wait_until(lambda: not any(map(is_running, pids)))
        with Service(tmp_path, "embedded", flush_interval_s=0.02) as successor:
            assert not is_running(pid)
            assert count(successor, "kept") == 1
            assert successor.post(b'{"n":2}\n', index="kept", ack="indexed").status == 200
            assert count(successor, "kept") == 2


def test_engine_of_another_running_service_is_left_alone(tmp_path: Path) -> None:
    with Service(tmp_path, "embedded", flush_interval_s=0.02) as first:
        pid = engine_pid(first)
        second = Service(tmp_path, "embedded")
        try:
            assert second.launch().wait_for_end() == 1
            assert "data_dir" in second.said
        finally:
            second.close()
        assert is_running(pid)
        assert first.post(b'{"n":1}\n', index="kept", ack="indexed").status == 200

"""The start: ports, a shared data directory, readiness, a signal too early."""

import contextlib
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.ports import free_port
from tests.service import Service, is_balanced


def test_signal_during_the_start_is_heeded(es: ScriptedElasticsearch, tmp_path: Path) -> None:
    admin = f"127.0.0.1:{free_port()}"
    service = Service(tmp_path, es.url, admin=admin)
    with contextlib.closing(service):
        service.admin = f"http://{admin}"
        service.launch()
        service.wait_until(lambda: readiness(service) == 503)
        assert service.terminate() == 0


@pytest.mark.parametrize("setting", ["listen", "admin"])
@pytest.mark.parametrize("is_shared", [False, True], ids=["alone", "reuseport"])
def test_port_in_use_ends_the_start_with_a_clear_message(
    setting: str, is_shared: bool, es: ScriptedElasticsearch, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        if is_shared:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings: dict[str, Any] = {setting: address}
        service = Service(tmp_path, es.url, **settings)
        with contextlib.closing(service):
            assert service.launch().wait_for_end() == 1
            (line,) = service.said.splitlines()
    assert setting in line
    assert address in line
    assert "in use" in line


def test_two_services_share_a_data_directory(es: ScriptedElasticsearch, tmp_path: Path) -> None:
    es.indices.create("strict", {"mappings": {"properties": {"n": {"type": "long"}}}})
    body = b'{"n":1}\n{"n":"one"}\n'
    with Service(tmp_path, es.url) as first, Service(tmp_path, es.url) as second:
        for service in (first, second, first):
            answer = service.post(body, index="strict", ack="indexed")
            assert (answer.status, answer.json["accepted"]) == (200, 2)
            assert is_balanced(service.documents())
        assert len(es.documents("strict")) == 3
        assert len(first.dead_letters()) == 3
        assert first.terminate() == 0
        assert second.post(body, index="strict", ack="indexed").status == 200


def test_service_is_ready_from_listening_to_draining_whatever_elasticsearch_does(
    es: ScriptedElasticsearch, tmp_path: Path
) -> None:
    es.stop()
    admin = f"127.0.0.1:{free_port()}"
    service = Service(tmp_path, es.url, admin=admin, drain_s=2)
    with contextlib.closing(service):
        service.admin = f"http://{admin}"
        service.launch()
        seen = [readiness(service)]
        while seen[-1] != 200:
            seen.append(readiness(service))
        assert 503 in seen
        assert [status for status in seen if status == 200] == [200]
        service.wait_until_ready()
        assert service.post(b"{}\n", ack="memory").status == 202
        service.wait_until(lambda: service.status()["elasticsearch"]["reachable"] is False)
        assert service.get("/readyz").status == 200
        service.signal(signal.SIGTERM)
        service.wait_until(lambda: readiness(service) == 503)
        assert service.get("/livez").status == 200
        service.wait_for_end()
    es.start()


def readiness(service: Service) -> int:
    """The status of /readyz; 0 where nobody answers yet."""
    assert service.process.poll() is None, service.said
    try:
        return service.get("/readyz").status
    except OSError:
        return 0

"""`ingest profile`: a profile from the admin port, or why there is none."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.commands.rig import Run


class AdminPort(http.server.ThreadingHTTPServer):
    """Answers like `/debug/profile`; keeps what was asked."""

    def __init__(self, status: int, body: bytes):
        super().__init__(("127.0.0.1", 0), _Answering)
        self.status, self.body = status, body
        self.asked: list[tuple[str, str | None]] = []


class _Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, AdminPort)
        server.asked.append((self.path, self.headers["authorization"]))
        self.send_response(server.status)
        self.send_header("ingest-profile", "ingest 1, all workers, 3 s, 5 documents/s")
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, format: str, *args: object) -> None:
        """The test looks at `asked`."""


@pytest.fixture
def admin_port() -> Iterator[Callable[[int, bytes], AdminPort]]:
    started: list[AdminPort] = []

    def start(status: int, body: bytes) -> AdminPort:
        server = AdminPort(status, body)
        started.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_a_profile_is_written_to_a_file(
    run: Run,
    tmp_path: Path,
    admin_port: Callable[[int, bytes], AdminPort],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = admin_port(200, b"<svg/>")
    monkeypatch.setenv("INGEST_ADMIN_TOKEN", "for-tests")
    output = tmp_path / "flame.svg"
    admin = f"127.0.0.1:{server.server_port}"
    code, out, err = run(
        *("profile", "--admin", admin, "--seconds", 3, "--native", "--output", output)
    )
    assert (code, err) == (0, "")
    assert out == f"ingest 1, all workers, 3 s, 5 documents/s: {output}\n"
    assert output.read_bytes() == b"<svg/>"
    assert server.asked == [
        ("/debug/profile?seconds=3&format=flamegraph&worker=all&native=1", "Bearer for-tests")
    ]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (409, b'{"error":{"type":"t","reason":"try again"},"status":409}', "try again"),
        (404, b"<html>not ours</html>", "404 Not Found"),
        (400, b'{"error":"not ours"}', "400 Bad Request"),
    ],
    ids=["busy", "no service of ours", "JSON of others"],
)
def test_a_refused_profile_says_why_and_writes_nothing(
    run: Run,
    tmp_path: Path,
    admin_port: Callable[[int, bytes], AdminPort],
    status: int,
    body: bytes,
    reason: str,
) -> None:
    server = admin_port(status, body)
    output = tmp_path / "flame.svg"
    admin = f"127.0.0.1:{server.server_port}"
    code, out, err = run("profile", "--admin", admin, "--output", output)
    assert (code, out, err) == (1, "", f"ingest: no profile: {reason}\n")
    assert not output.exists()


def test_no_service_is_said_to_be_none(run: Run, admin_port: Callable[..., AdminPort]) -> None:
    server = admin_port(200, b"")
    server.server_close()
    code, _, err = run("profile", "--admin", f"127.0.0.1:{server.server_port}")
    assert code == 1
    assert "no service answers there" in err

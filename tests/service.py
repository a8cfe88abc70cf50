"""One running `ingest serve`: real processes, real ports, for as long as a `with` block lasts.

    with Service(tmp_path, es.url, workers=2, flush_interval_s=0.02) as service:
        assert service.post(b'{"a":1}\\n', ack="indexed").status == 200

Settings are keyword arguments, spelled as in the configuration. What the service says on standard
error is added to the error of a test that fails in the block. Whatever happens there, no process
is left behind.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from prometheus_client.parser import text_string_to_metric_families

NDJSON = "application/x-ndjson"
JSON = "application/json"
READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 40
WAIT_TIMEOUT_S = 30
REQUEST_TIMEOUT_S = 30
POLL_S = 0.02
AS_INSTALLED = str(Path(__file__).with_name("as_installed"))
_READY = re.compile(r"^ingest: documents (http://\S+)/ingest  admin (http://\S+)$", re.MULTILINE)
_SAID_CHARACTERS = 6000


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """`ingest serve` on free ports. `elasticsearch` is a URL or `embedded`."""

    def __init__(
        self,
        data_dir: Path,
        elasticsearch: str,
        *,
        environment: Mapping[str, str] | None = None,
        **settings: object,
    ):
        defaults = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "workers": 1}
        self.data_dir = data_dir
        self.url = ""
        self.admin = ""
        self._environment = {**os.environ, "PYTHONPATH": AS_INSTALLED, **(environment or {})}
        self._options = [f"--elasticsearch={elasticsearch}", f"--data-dir={data_dir}"]
        for key, value in {**defaults, **settings}.items():
            self._options.append(f"--{key.replace('_', '-')}={value}")
        self._outputs = tempfile.TemporaryDirectory(prefix="ingest-service-")
        self._process: subprocess.Popen[bytes] | None = None

    # starting and stopping

    def __enter__(self) -> Self:
        try:
            return self.launch().wait_until_ready()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            error.add_note(f"the service said:\n{self.said[-_SAID_CHARACTERS:]}")
        self.close()

    def launch(self) -> Self:
        """Start without waiting; the session of its own makes sure that all of it can be ended."""
        directory = Path(self._outputs.name)
        with (directory / "stdout").open("ab") as out, (directory / "stderr").open("ab") as err:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self

    def wait_until_ready(self) -> Self:
        """Until the line that names the ports. Raises AssertionError where it doesn't come."""
        self.wait_until(self._is_announced, READY_TIMEOUT_S)
        ready = _READY.search(self.printed)
        assert ready, f"the service ended with {self.process.poll()} and said:\n{self.said}"
        self.url, self.admin = ready.groups()
        return self

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        self.signal(number)
        return self.wait_for_end()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait_for_end(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """The exit code. Raises AssertionError with what the service said if it doesn't end."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the service does not end; it said:\n{self.said}") from None

    def kill(self) -> None:
        """End the supervisor as a crash would; its workers are orphans then."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End everything that still runs, gently first."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            if self._process.wait() < 0:
                self._kill_engine()
        self._outputs.cleanup()

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "ingest", "serve", *self._options]

    # looking at it

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the service was not launched"
        return self._process

    @property
    def printed(self) -> str:
        return (Path(self._outputs.name) / "stdout").read_text()

    @property
    def said(self) -> str:
        """All of standard error, the workers' too."""
        return (Path(self._outputs.name) / "stderr").read_text(errors="replace")

    def status(self) -> Any:
        return self.get("/status").json

    def documents(self) -> dict[str, int]:
        """The terms of the accounting law."""
        found: dict[str, int] = self.status()["documents"]
        return found

    @property
    def worker_pids(self) -> list[int]:
        return [worker["pid"] for worker in self.status()["workers"]]

    def metrics(self) -> dict[str, float]:
        """Samples by name with their labels, as in the text: `name{label="value"}`."""
        text = self.get("/metrics").body.decode()
        return {
            _sample_name(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def wait_until(self, is_reached: Callable[[], bool], timeout_s: float = WAIT_TIMEOUT_S) -> None:
        """Raises AssertionError with what the service said where it isn't reached in time."""
        deadline = time.monotonic() + timeout_s
        while not is_reached():
            assert time.monotonic() < deadline, f"not reached in time; it said:\n{self.said}"
            time.sleep(POLL_S)

    def wait_until_settled(self) -> dict[str, int]:
        """Until every document has its outcome; gives the terms of the accounting law."""
        self.wait_until(lambda: not _unsettled(self.documents()))
        return self.documents()

    def dead_letters(self) -> list[dict[str, Any]]:
        files = (self.data_dir / "dead-letters").glob("*.ndjson")
        return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]

    # talking to it

    def post(
        self,
        body: bytes | Iterable[bytes],
        *,
        path: str = "/ingest",
        content_type: str = NDJSON,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
        **query: str,
    ) -> Answer:
        """POST documents on a connection of their own; an iterable is sent chunked."""
        target = f"{path}?{urlencode(query)}" if query else path
        all_headers = {"content-type": content_type, **(headers or {})}
        return _request(self.url, "POST", target, body, all_headers, timeout_s)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET from the admin port."""
        return _request(self.admin, "GET", path, None, headers or {}, REQUEST_TIMEOUT_S)

    def _is_announced(self) -> bool:
        return _READY.search(self.printed) is not None or self.process.poll() is not None

    def _kill_engine(self) -> None:
        """The embedded engine of a killed supervisor: it has a session of its own."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.data_dir / "engine" / "engine.pid").read_text())
            if b"noida" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)


def is_balanced(documents: Mapping[str, int]) -> bool:
    """The accounting law."""
    ended = ("rejected", "indexed", "duplicate", "dead_letter", "lost", "in_memory", "spooled")
    came = documents["received"] + documents["recovered"]
    return came == sum(documents[term] for term in ended)


def is_running(pid: int) -> bool:
    """Whether a process still runs; one that has ended but is not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _unsettled(documents: Mapping[str, int]) -> int:
    return documents["in_memory"] + documents["spooled"]


def _request(
    url: str,
    method: str,
    target: str,
    body: bytes | Iterable[bytes] | None,
    headers: Mapping[str, str],
    timeout_s: float,
) -> Answer:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    names = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, names, content)


def _sample_name(name: str, labels: Mapping[str, str]) -> str:
    listed = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{listed}}}" if listed else name

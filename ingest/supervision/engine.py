"""The embedded engine: a small Elasticsearch look-alike for trials, where there is no cluster.

A child of the supervisor in a session of its own (Ctrl-C must not reach it before the workers have
delivered), stopped last, its data kept under the data directory. The package's console script is
only a wrapper that leaves the engine running when it is stopped, so the binary itself is started.
It proves little: it takes keywords that are too long and names that are not allowed.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

import structlog

from ingest.errors import ConfigError

START_S = 30.0
STOP_S = 10.0
log = structlog.get_logger(__name__)


class Engine:
    """Runs one engine on a free port of the loopback interface."""

    def __init__(self, data_dir: Path):
        self._directory = (data_dir / "engine").absolute()
        self._pid_file = self._directory / "engine.pid"
        self._binary = _find_binary()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start and wait until it answers. Raises ConfigError with what it said if it does not."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = self._lock or _lock(self._directory)
        self._stop_leftover()
        self.port = self.port or _free_port()
        output = self._directory / "engine.log"
        with output.open("wb") as log_file:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    "start",
                    *("--only", "elasticsearch"),
                    *("--elasticsearch-port", str(self.port)),
                    *("--data-dir", str(self._directory / "data")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                start_new_session=True,
            )
        self._pid_file.write_text(str(self._process.pid))
        await self._wait_until_it_answers(output)
        log.info("embedded engine runs", url=self.url, data=str(self._directory))

    async def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, STOP_S)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._pid_file.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def _wait_until_it_answers(self, output: Path) -> None:
        deadline = asyncio.get_running_loop().time() + START_S
        while asyncio.get_running_loop().time() < deadline and self.is_running:
            if await asyncio.to_thread(_answers, self.url):
                return
            await asyncio.sleep(0.05)
        said = output.read_text(errors="replace").strip()[-500:]
        await self.stop()
        raise ConfigError(
            f"the embedded engine does not start: {said or 'it said nothing'}; "
            "use --elasticsearch http://HOST:PORT for a cluster of your own"
        )

    def _stop_leftover(self) -> None:
        """An engine whose supervisor was killed still holds the data directory."""
        with contextlib.suppress(OSError, ValueError):
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if self._binary.encode() in command:
                os.kill(pid, signal.SIGTERM)
                log.warning("stopped the engine of a supervisor that is gone", pid=pid)
                _wait_for_end(pid)


def _lock(directory: Path) -> IO[bytes]:
    """Held while this supervisor lives: the engine of another one must not be taken for a leftover.

    Raises ConfigError.
    """
    lock = (directory / "engine.lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise ConfigError(
            f"data_dir: the embedded engine of another service uses {directory}; "
            "give each service a data_dir of its own"
        ) from error
    return lock


def _find_binary() -> str:
    spec = importlib.util.find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "the embedded engine is not installed; install ingest[embedded] or give "
            "--elasticsearch http://HOST:PORT"
        )
    binary = Path(spec.origin).with_name("noida-db")
    if not os.access(binary, os.X_OK):
        raise ConfigError(f"{binary} is not there or can not be run")
    return str(binary)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        time.sleep(0.05)

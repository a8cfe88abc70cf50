"""The parent process: binds the port, starts, watches, replaces and stops the workers.

    supervisor            admin server, totals, cluster facts
     ├─ embedded engine   only without an Elasticsearch; started first, stopped last
     └─ worker × N        spawned; each listens on a socket of its own on the same port

The kernel spreads connections over the sockets (SO_REUSEPORT); one socket inherited by all gave
235/21 of 256 connections to two workers. The supervisor keeps the sockets, so connections that
wait while a worker is replaced are taken by its successor instead of being reset.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Generator

import structlog
import uvicorn

from ingest.admin import Admin
from ingest.backoff import Backoff
from ingest.cluster_facts import ClusterFacts
from ingest.commands.mappings import apply_at_start
from ingest.config import Settings
from ingest.engine import Engine
from ingest.errors import ConfigError
from ingest.profiler import allow_tracing
from ingest.totals import Totals
from ingest.worker_process import WorkerProcess

WATCH_S = 0.1
SETTLED_S = 10.0  # a worker that lived for so long does not count as failing at its start
KILL_MARGIN_S = 2.0
BACKLOG = 2048
_RESPAWN = Backoff(initial_s=0.2, max_s=30.0, random=lambda: 1.0)
log = structlog.get_logger(__name__)


class Slot:
    """One worker's place: its listening socket, and how often in a row it failed at the start."""

    def __init__(self, listen: socket.socket):
        self.listen = listen
        self.worker: WorkerProcess | None = None
        self.failures = 0
        self.start_at = 0.0


class Supervisor:
    """Runs until a signal; `run` gives the process's exit code."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._engine = Engine(settings.data_dir) if settings.elasticsearch.is_embedded else None
        self._totals = Totals()
        self._slots: list[Slot] = []
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._is_draining = False

    async def run(self) -> int:
        """Raises ConfigError when it can not start."""
        self._watch_signals()
        allow_tracing(os.getpid())
        _check_data_dir(self._settings)
        listens = _bind(self._settings)
        try:
            if self._engine is not None:
                await self._engine.start()
                self._settings.elasticsearch.hosts = [self._engine.url]
            if self._settings.apply_mappings:
                for change in await apply_at_start(self._settings):
                    log.info("template installed", name=change.template.name, was=change.state)
            self._slots = [Slot(listen) for listen in listens]
            return await self._serve()
        finally:
            for listen in listens:
                listen.close()
            if self._engine is not None:
                await self._engine.stop()

    async def _serve(self) -> int:
        facts = ClusterFacts(self._settings.elasticsearch)
        admin_socket = _bind_admin(self._settings)
        admin = Admin(self._settings, self._totals, facts, self._readiness)
        server = _AdminServer(
            uvicorn.Config(
                admin.build(),
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=1,
            )
        )
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[admin_socket]))
            asking = tasks.create_task(facts.keep_asking())
            watching = tasks.create_task(self._watch())
            announcing = tasks.create_task(self._announce(admin_socket))
            await self._stop.wait()
            announcing.cancel()
            watching.cancel()
            await self._drain()
            asking.cancel()
            server.should_exit = True
            await serving
        facts.close()
        return 0

    # the workers

    async def _watch(self) -> None:
        while True:
            for index, slot in enumerate(self._slots):
                if slot.worker is None:
                    self._start(slot)
                elif slot.worker.exit_code is not None:
                    self._replace(slot, index)
                elif slot.worker.scoreboard.heartbeat_age_s > self._settings.worker_stuck_s:
                    self._kill_stuck(slot.worker)
            if self._engine is not None and not self._engine.is_running:
                log.warning("the embedded engine ended; starting it again")
                await self._engine.start()
            await asyncio.sleep(WATCH_S)

    def _start(self, slot: Slot) -> None:
        if time.monotonic() < slot.start_at:
            return
        slot.worker = WorkerProcess(self._settings, slot.listen)
        self._totals.workers = self._workers()
        log.debug("worker started", pid=slot.worker.pid)

    def _replace(self, slot: Slot, index: int) -> None:
        worker = slot.worker
        assert worker is not None
        lived_s = time.monotonic() - worker.started
        slot.failures = 1 if lived_s > SETTLED_S else slot.failures + 1
        pause_s = _RESPAWN.pause_s(slot.failures) if slot.failures > 1 else 0.0
        slot.start_at = time.monotonic() + pause_s
        self._totals.restarts += 1
        exit_code = worker.exit_code
        lost = self._bury(slot)
        log.error(
            "a worker died and is replaced",
            worker=index,
            pid=worker.pid,
            exit_code=exit_code,
            pause_s=pause_s,
            documents_lost=lost,
        )

    def _bury(self, slot: Slot) -> int:
        worker = slot.worker
        assert worker is not None
        slot.worker = None
        self._totals.workers = self._workers()
        lost = self._totals.bury(worker.scoreboard).lost
        worker.close()
        return lost

    def _kill_stuck(self, worker: WorkerProcess) -> None:
        log.error("a worker is stuck: its stacks follow, then it is killed", pid=worker.pid)
        worker.dump_stacks()
        time.sleep(0.2)  # the dump is written by the worker's own signal handler
        worker.kill()

    def _workers(self) -> list[WorkerProcess]:
        return [slot.worker for slot in self._slots if slot.worker is not None]

    # starting and stopping

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    async def _announce(self, admin_socket: socket.socket) -> None:
        while not self._readiness()[0]:
            await asyncio.sleep(0.02)
        url = f"http://{_address(self._slots[0].listen)}/ingest"
        print(  # noqa: T201
            f"ingest: documents {url}  admin http://{_address(admin_socket)}\n"
            f"try: curl -sS -H 'content-type: application/json' "
            f"""-d '{{"message":"hello"}}' '{url}?ack=indexed'""",
            flush=True,
        )

    def _readiness(self) -> tuple[bool, str]:
        if self._is_draining:
            return False, "draining"
        workers = self._workers()
        if not any(worker.exit_code is None for worker in workers):
            return False, "no worker lives"
        if not all(worker.is_listening for worker in workers) and not self._totals.restarts:
            return False, "the workers do not listen yet"
        return True, "listening"

    async def _drain(self) -> None:
        """Stop the workers within `drain_s`; a second signal ends them at once."""
        self._is_draining = True
        workers = self._workers()
        log.info("draining", workers=len(workers), drain_s=self._settings.drain_s)
        for slot in self._slots:
            slot.listen.close()
        for worker in workers:
            worker.drain()
        deadline = time.monotonic() + self._settings.drain_s + KILL_MARGIN_S
        while any(worker.exit_code is None for worker in workers):
            if self._stop_now.is_set() or time.monotonic() > deadline:
                log.error("workers are killed before they have drained")
                for worker in workers:
                    worker.kill()
                break
            await asyncio.sleep(0.02)
        lost = sum(self._bury(slot) for slot in self._slots if slot.worker is not None)
        ledger = self._totals.ledger()
        log.info("stopped", received=ledger.received, indexed=ledger.indexed, lost=lost)


class _AdminServer(uvicorn.Server):
    """uvicorn's server without its signal handlers: the supervisor has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _bind(settings: Settings) -> list[socket.socket]:
    """A listening socket for each worker, all on one port."""
    host, port = settings.listen_address
    _refuse_taken("listen", host, port)
    sockets: list[socket.socket] = []
    for _ in range(settings.workers):
        each = socket.socket(_family(host), socket.SOCK_STREAM)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.bind((host, port))
        each.listen(BACKLOG)
        port = each.getsockname()[1]
        sockets.append(each)
    return sockets


def _refuse_taken(key: str, host: str, port: int) -> None:
    """SO_REUSEPORT would silently share the port with another service of the same user."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise ConfigError(f"{key}: {host}:{port} can not be used: {error.strerror}") from error


def _bind_admin(settings: Settings) -> socket.socket:
    host, port = settings.admin_address
    _refuse_taken("admin", host, port)
    admin = socket.socket(_family(host), socket.SOCK_STREAM)
    admin.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    admin.bind((host, port))
    return admin


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data_dir: {settings.data_dir}: {error.strerror}") from error

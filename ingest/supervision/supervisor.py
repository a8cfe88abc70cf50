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
from collections.abc import Callable, Generator

import structlog
import uvicorn

from ingest.commands.mappings import apply_at_start
from ingest.config import Settings
from ingest.delivery.backoff import Backoff
from ingest.errors import ConfigError
from ingest.supervision.admin import Admin
from ingest.supervision.cluster_facts import ClusterFacts
from ingest.supervision.engine import Engine
from ingest.supervision.slot import Slot
from ingest.supervision.sockets import address_of, bind_admin, bind_workers
from ingest.supervision.totals import Totals
from ingest.supervision.worker_process import WorkerProcess
from ingest.tracing import allow_tracing

WATCH_S = 0.1
SETTLED_S = 10.0  # a worker that lived for so long does not count as failing at its start
KILL_MARGIN_S = 2.0
_FIXED = ("listen", "admin", "admin_token", "workers", "data_dir")  # need a restart
_RESPAWN = Backoff(initial_s=0.2, max_s=30.0, random=lambda: 1.0)
log = structlog.get_logger(__name__)


class Supervisor:
    """Runs until a signal; `run` gives the process's exit code."""

    def __init__(self, settings: Settings, reload: Callable[[], Settings]):
        self._settings = settings
        self._reload = reload
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
        listens = bind_workers(self._settings)
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
        admin_socket = bind_admin(self._settings)
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
            facts.start()
            watching = tasks.create_task(self._watch())
            announcing = tasks.create_task(self._announce(admin_socket))
            await self._stop.wait()
            announcing.cancel()
            watching.cancel()
            await self._drain()
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
                elif slot.predecessor is not None:
                    self._watch_predecessor(slot, slot.predecessor)
                elif slot.worker.scoreboard.heartbeat_age_s > self._settings.worker_stuck_s:
                    await self._kill_stuck(slot.worker)
            if self._engine is not None and not self._engine.is_running:
                log.warning("the embedded engine ended; starting it again")
                try:
                    await self._engine.start()
                except ConfigError as error:
                    log.error("the embedded engine does not start", reason=str(error))
            await asyncio.sleep(WATCH_S)

    def _watch_predecessor(self, slot: Slot, old: WorkerProcess) -> None:
        """It drains as soon as its successor listens, and goes when it has drained."""
        assert slot.worker is not None
        if old.exit_code is not None:
            slot.predecessor, slot.drain_until = None, None
            self._totals.workers = self._workers()
            self._totals.bury(old.scoreboard)
            old.close()
        elif slot.drain_until is None and slot.worker.is_listening:
            old.drain()
            slot.drain_until = time.monotonic() + self._settings.drain_s + KILL_MARGIN_S
        elif slot.drain_until is not None and time.monotonic() > slot.drain_until:
            log.error("a worker is killed before it has drained", pid=old.pid)
            old.kill()

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

    async def _kill_stuck(self, worker: WorkerProcess) -> None:
        log.error("a worker is stuck: its stacks follow, then it is killed", pid=worker.pid)
        worker.dump_stacks()
        await asyncio.sleep(0.2)  # the dump is written by the worker's own signal handler
        worker.kill()

    def _workers(self) -> list[WorkerProcess]:
        both = (each for slot in self._slots for each in (slot.worker, slot.predecessor))
        return [worker for worker in both if worker is not None]

    # starting and stopping

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    def _on_hangup(self) -> None:
        """New workers with the changed configuration; an invalid one changes nothing."""
        try:
            settings = self._reload()
        except ConfigError as error:
            self._totals.rejected_configurations += 1
            log.error("the changed configuration is not used", reason=str(error))
            return
        if any(slot.predecessor is not None for slot in self._slots):
            log.warning("the last change of configuration is still under way; send SIGHUP later")
            return
        kept = [key for key in _FIXED if getattr(settings, key) != getattr(self._settings, key)]
        if kept:
            log.warning("these settings take effect at the next start only", settings=kept)
        fixed = {key: getattr(self._settings, key) for key in _FIXED}
        if self._engine is not None:
            fixed["elasticsearch"] = self._settings.elasticsearch
        for key, value in fixed.items():
            setattr(settings, key, value)
        self._settings = settings
        for slot in self._slots:
            if slot.worker is not None:
                slot.predecessor, slot.worker = slot.worker, None
            slot.failures, slot.start_at = 0, 0.0  # the old one's failures say nothing of this
        log.info("configuration changed: new workers start, the old ones drain")

    async def _announce(self, admin_socket: socket.socket) -> None:
        while not self._readiness()[0]:
            await asyncio.sleep(0.02)
        url = f"http://{address_of(self._slots[0].listen)}/ingest"
        print(  # noqa: T201
            f"ingest: documents {url}  admin http://{address_of(admin_socket)}\n"
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
        self._totals.workers = ()
        lost = 0
        for worker in workers:
            lost += self._totals.bury(worker.scoreboard).lost
            worker.close()
        ledger = self._totals.ledger()
        log.info(
            "stopped",
            received=ledger.received,
            indexed=ledger.indexed,
            spooled=ledger.spooled,  # delivered after the next start
            lost=lost,
        )


class _AdminServer(uvicorn.Server):
    """uvicorn's server without its signal handlers: the supervisor has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _check_data_dir(settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"data_dir: {settings.data_dir}: {error.strerror}") from error

"""One worker process: its own buffers, batcher, writer and client; nothing is shared with others.

    python -m ingest.worker CONTROL LISTEN SCOREBOARD     (inherited file descriptors)

The supervisor's orders come through CONTROL: first the settings, then perhaps `drain`. When
CONTROL closes, the supervisor is gone: the worker delivers what it holds and ends.
"""

import asyncio
import faulthandler
import functools
import gc
import os
import random
import signal
import socket
import sys
import time
from datetime import UTC, datetime

import structlog
import uvloop

from ingest import logs, metrics
from ingest.adoption import Adoption
from ingest.amendment import Amendment
from ingest.backpressure import Backpressure
from ingest.batcher import Batcher
from ingest.delivery.backoff import Backoff
from ingest.delivery.bulk_writer import BulkWriter
from ingest.delivery.cluster import BulkClient
from ingest.delivery.dead_letters import DeadLetters
from ingest.delivery.lookout import Lookout
from ingest.delivery.outcomes import Outcomes
from ingest.failpoints import make_failpoint
from ingest.head import Head
from ingest.http.listener import Listener
from ingest.http.server import IngestServer
from ingest.orders import Orders, receive_orders
from ingest.parser import RouteDocument
from ingest.pipeline import Pipeline
from ingest.rules import compile_rules
from ingest.scoreboard import Scoreboard
from ingest.short_id import short_id
from ingest.spool import DiskSpool, SpoolLimits, Surroundings, files_for
from ingest.spool.committer import OnCommitted
from ingest.spooling import Group, Spooling
from ingest.tracing import allow_tracing

HEARTBEAT_S = 0.5
DRAIN_LOOK_S = 0.02
GC_THRESHOLDS = (50_000, 20, 20)  # a document leaves no cycle behind; see profiling/notes
SPOOL_CLOSE_S = 10.0
log = structlog.get_logger(__name__)


class Worker:
    """Wires the stages together and runs them until it is told to drain."""

    def __init__(self, orders: Orders, control: socket.socket, listen: socket.socket, board: int):
        settings = self._settings = orders.settings
        hit = make_failpoint(settings.failpoint)
        loop = asyncio.get_running_loop()
        self._control = control
        self._listen = listen
        self._scoreboard = Scoreboard(board)
        self._backpressure = Backpressure(
            settings.buffers, settings.buffer_bytes, settings.max_pending_bytes, loop.call_soon
        )
        self._dead_letters = DeadLetters(
            settings.data_dir, lambda: datetime.now(UTC).isoformat(timespec="milliseconds")
        )
        self._client = BulkClient(
            settings.elasticsearch, settings.max_in_flight, Lookout(settings.data_dir), hit
        )
        self._outcomes = Outcomes(
            self._scoreboard, self._backpressure, self._dead_letters, time.monotonic
        )
        self._writer = BulkWriter(
            self._client,
            self._outcomes,
            self._scoreboard,
            Backoff(settings.backoff_initial_s, settings.backoff_max_s, random.random),
            max_in_flight=settings.max_in_flight,
            clock=time.monotonic,
            sleep=asyncio.sleep,
        )
        self._batcher = Batcher(
            self._writer.send,
            loop.call_later,
            flush_bytes=settings.flush_bytes,
            flush_documents=settings.flush_documents,
            flush_interval_s=settings.flush_interval_s,
        )
        surroundings = Surroundings(files=files_for(hit), hit=hit)
        self._spooling = Spooling(
            functools.partial(self._open_spool, orders, surroundings),
            self._batcher,
            self._backpressure,
            self._scoreboard,
            loop,
        )
        self._adoption = Adoption(settings.data_dir, surroundings, self._spooling, self._scoreboard)
        self._listener = Listener(
            settings, self._pipeline(orders), self._backpressure, self._scoreboard, time.monotonic
        )
        self._server = IngestServer(self._listener)
        self._should_drain = asyncio.Event()

    def _open_spool(
        self, orders: Orders, surroundings: Surroundings, on_committed: OnCommitted[Group]
    ) -> DiskSpool[Group]:
        settings = orders.settings
        limits = SpoolLimits(
            quota_bytes=settings.spool_quota_bytes // settings.workers,
            shared_quota_bytes=settings.spool_quota_bytes,
            free_bytes_min=settings.spool_free_bytes_min,
            file_bytes=settings.spool_file_bytes,
        )
        spool: DiskSpool[Group] = DiskSpool(
            settings.data_dir,
            on_committed,
            limits=limits,
            surroundings=surroundings,
            directory_id=orders.worker_id,
            on_sync=functools.partial(self._scoreboard.observe, metrics.SPOOL_SYNC_SECONDS),
        )
        spool.start()
        return spool

    def _pipeline(self, orders: Orders) -> Pipeline:
        router, fields = compile_rules(orders.settings)

        def route_request(head: Head) -> RouteDocument:
            return router.for_request(head.path, head.route_name, head.query, head.headers)

        return Pipeline(
            route_request=route_request,
            amendment=Amendment(orders.settings.max_document_bytes, fields.rules_for),
            spooling=self._spooling,
            batcher=self._batcher,
            backpressure=self._backpressure,
            scoreboard=self._scoreboard,
            id_prefix=short_id(orders.worker_id),
            default_ack=orders.settings.ack,
        )

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._should_drain.set)
        self._control.setblocking(False)
        loop.add_reader(self._control, self._read_control)
        async with asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(self._beat()),
                tasks.create_task(self._listener.tick()),
                tasks.create_task(self._spooling.feed()),
                tasks.create_task(self._adoption.keep_looking()),
            ]
            serving = tasks.create_task(self._server.serve(sockets=[self._listen]))
            await self._should_drain.wait()
            await self._drain(serving)
            for task in background:
                task.cancel()

    def watch_garbage_collector(self) -> None:
        """Count its pauses; nobody else can see them."""
        started = 0.0

        def watch(phase: str, details: dict[str, int]) -> None:
            nonlocal started
            if phase == "start":
                started = time.monotonic()
            else:
                self._scoreboard.observe(metrics.GC_PAUSE_SECONDS, time.monotonic() - started)

        gc.callbacks.append(watch)

    async def _beat(self) -> None:
        is_listening = False
        while True:
            self._scoreboard.beat()
            self._spooling.show()
            self._outcomes.tell()
            if self._server.started and not is_listening:
                is_listening = True
                self._scoreboard.enter("listening")
            await asyncio.sleep(HEARTBEAT_S if is_listening else 0.02)

    def _read_control(self) -> None:
        """`drain`, or the end of the channel: the supervisor is gone."""
        try:
            received = self._control.recv(64)
        except BlockingIOError:
            return
        if not received:
            log.warning("the supervisor is gone; draining")
        asyncio.get_running_loop().remove_reader(self._control)
        self._should_drain.set()

    async def _drain(self, serving: "asyncio.Task[None]") -> None:
        """Refuse, finish the bodies that are being read, deliver, account for the rest."""
        deadline = time.monotonic() + self._settings.drain_s
        self._scoreboard.enter("draining")
        self._listener.is_draining = True
        self._server.should_exit = True
        await serving
        self._spooling.stop_feeding()
        self._batcher.flush()
        ledger = self._scoreboard.ledger
        while self._writer.is_busy and time.monotonic() < deadline:
            if self._writer.is_failing and not ledger.in_memory:
                break  # what is left is in the spool
            await asyncio.sleep(DRAIN_LOOK_S)
        await self._writer.cancel()
        self._outcomes.tell(is_end=True)
        if ledger.in_memory:
            log.error(
                "documents are lost: elasticsearch did not take them within drain_s",
                acked=ledger.in_memory_acked,
                unacked=ledger.in_memory_unacked,
            )
        ledger.close()
        self._scoreboard.publish()
        await self._spooling.close(SPOOL_CLOSE_S)
        self._client.close()
        self._dead_letters.close()


def main() -> None:
    control_fd, listen_fd, board_fd = map(int, sys.argv[1:4])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    control = socket.socket(fileno=control_fd)
    orders = receive_orders(control)
    allow_tracing(os.getppid())
    listen = socket.socket(fileno=listen_fd)
    logs.configure(orders.settings, worker=short_id(orders.worker_id)[:8])

    async def run() -> None:
        worker = Worker(orders, control, listen, board_fd)
        worker.watch_garbage_collector()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        await worker.run()

    uvloop.run(run())
    sys.stderr.flush()
    os._exit(0)  # a bulk thread may still wait for an answer that nobody needs


if __name__ == "__main__":
    main()

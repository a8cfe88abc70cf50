"""A worker's memory is bounded: buffers are made at the start, and all come back.

A worker runs in this process, where `tracemalloc` sees what it allocates; its clients are threads
with real sockets, many of which leave in the middle of a body.
"""

import asyncio
import gc
import logging
import socket
import tempfile
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from uuid import uuid4

import pytest
import uvloop

from ingest import backpressure, metrics
from ingest.config import load
from ingest.orders import DRAIN, Orders
from ingest.scoreboard import SIZE_BYTES, Ledger, Scoreboard
from ingest.worker import Worker
from tests.fakes import ScriptedElasticsearch
from tests.http_client import RawClient, chunk, chunked_head, head, post
from tests.service import NDJSON

BUFFERS = 4
BUFFER_BYTES = 64 * 1024
ROUND_CLIENTS = 60
THREADS = 6
GROWTH_BYTES_MAX = 256 * 1024  # over three rounds; one leaked body would cost a buffer each
LINE = b'{"n":1,"text":"%b"}\n' % (b"x" * 200)
TIMEOUT_S = 30


class WorkerUnderTest:
    """A worker in this process, looked at through its scoreboard as the supervisor does it."""

    def __init__(self, board: Scoreboard, url: str):
        self.url = url
        self._board = board

    def gauge(self, metric: metrics.Metric) -> int:
        return self._board.read(metric)[""][0]

    def ledger(self) -> Ledger:
        return self._board.read_ledger()

    async def wait_until_idle(self) -> None:
        """All buffers free, nothing pending, nobody connected."""
        async with asyncio.timeout(TIMEOUT_S):
            while (
                self.gauge(metrics.BUFFERS_FREE) != BUFFERS
                or self.gauge(metrics.PENDING_BYTES)
                or self.gauge(metrics.CONNECTIONS)
                or self.ledger().in_memory
            ):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running_worker(
    elasticsearch: str, data_dir: Path, ack: str = "memory"
) -> AsyncIterator[WorkerUnderTest]:
    settings = load(
        {
            "elasticsearch": elasticsearch,
            "data_dir": data_dir,
            "ack": ack,
            "buffers": BUFFERS,
            "buffer_bytes": BUFFER_BYTES,
            "max_document_bytes": BUFFER_BYTES // 2,
            "flush_bytes": 256 * 1024,
            "max_pending_bytes": 512 * 1024,
            "flush_interval_s": 0.02,
            "buffer_wait_s": 0.2,
        }
    )
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as memory, ours, theirs:
        memory.truncate(SIZE_BYTES)
        board = Scoreboard(memory.fileno())
        listen = socket.create_server(("127.0.0.1", 0))
        worker = Worker(Orders(settings, uuid4()), theirs, listen, memory.fileno())
        running = asyncio.create_task(worker.run())
        async with asyncio.timeout(TIMEOUT_S):
            while board.state != "listening":
                await asyncio.sleep(0.01)
        try:
            yield WorkerUnderTest(board, f"http://127.0.0.1:{listen.getsockname()[1]}")
        finally:
            ours.sendall(DRAIN)
            await running
            board.close()


def send_one(url: str, number: int) -> None:
    """Each kind of sender in turn; most of them leave before their body ends."""
    half = LINE * (BUFFER_BYTES // len(LINE) // 2)
    length = {"content-type": NDJSON, "content-length": str(10 * BUFFER_BYTES)}
    gzipped = {"content-encoding": "gzip"}
    contents = (
        post("/ingest", LINE * 10),
        head("POST", "/ingest", length) + half,
        chunked_head("/ingest") + chunk(half) + b"ffff\r\n",
        post("/ingest", half * 5),
        head("POST", "/ingest", length | gzipped) + b"\x1f\x8b\x08\x00",
        head("POST", "/ingest", length),
        chunked_head("/ingest") + b"not a size\r\n",
        post("/ingest", half * 2) + head("POST", "/ingest", length) + half,
        post("/ingest", LINE + b'[1]\n{"n":\n' + LINE),
        post("/ingest?ack=never", LINE),
        head("GET", "/somewhere"),
    )
    with RawClient(url) as client:
        client.send_what_is_taken(contents[number % len(contents)])
        if number % 3 == 0:
            client.reset()


def send_round(url: str) -> None:
    def send_some(first: int) -> None:
        for number in range(first, ROUND_CLIENTS, THREADS):
            send_one(url, number)

    threads = [threading.Thread(target=send_some, args=(first,)) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_no_buffer_is_made_under_load_and_all_come_back(
    scripted_elasticsearch: ScriptedElasticsearch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # pytest listens to this logger too, which then wants to print bodies that are no bytes
    monkeypatch.setattr(logging.getLogger("elastic_transport.node"), "handlers", [])
    es = scripted_elasticsearch

    async def scenario() -> tuple[int, int, Ledger]:
        async with running_worker(es.url, tmp_path) as worker:
            for _ in range(2):  # caches fill, connections to Elasticsearch open
                await asyncio.to_thread(send_round, worker.url)
                await worker.wait_until_idle()
            forget(es)
            tracemalloc.start()
            before = traced_bytes()
            for _ in range(3):
                await asyncio.to_thread(send_round, worker.url)
                await worker.wait_until_idle()
            forget(es)
            growth = traced_bytes() - before
            made = traced_bytes(backpressure.__file__)
            return growth, made, worker.ledger()

    try:
        growth, made, ledger = uvloop.run(scenario())
    finally:
        tracemalloc.stop()
    assert made < BUFFER_BYTES  # of a buffer's size; its waiting lists are small
    assert growth < GROWTH_BYTES_MAX
    assert ledger.received > 1000
    assert ledger.is_balanced


@pytest.mark.usefixtures("no_garbage_collector")
@pytest.mark.parametrize("ack", ["memory", "durable", "indexed"])
def test_nothing_of_a_request_waits_for_the_garbage_collector(
    ack: str,
    scripted_elasticsearch: ScriptedElasticsearch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refused line once kept its exception, that its frame, and that the whole window."""
    monkeypatch.setattr(logging.getLogger("elastic_transport.node"), "handlers", [])

    async def scenario() -> list[str]:
        async with running_worker(scripted_elasticsearch.url, tmp_path, ack) as worker:
            await asyncio.to_thread(send_round, worker.url)
            await worker.wait_until_idle()
            return garbage_of("ingest")

    assert uvloop.run(scenario()) == []


@pytest.fixture(name="no_garbage_collector")
def _no_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def garbage_of(package: str) -> list[str]:
    """What only the collector can free now: the package's objects, and frames of its functions."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found = [each.f_globals["__name__"] for each in gc.garbage if isinstance(each, FrameType)]
        found += [type(each).__module__ for each in gc.garbage]
        return sorted(name for name in found if name.partition(".")[0] == package)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def forget(es: ScriptedElasticsearch) -> None:
    """The fake keeps all it got, in the same process."""
    es.bulk_requests.clear()
    es.indices.documents.clear()
    es.indices.by_name.clear()
    gc.collect()


def traced_bytes(file: str = "*") -> int:
    """What is allocated now and was since tracing began, by code in this file."""
    snapshot = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, file)])
    return sum(statistic.size for statistic in snapshot.statistics("filename"))

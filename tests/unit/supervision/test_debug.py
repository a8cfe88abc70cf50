"""Who may look into the workers, what they must ask for, and what they see."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import httpx
import pytest
from starlette.applications import Starlette

from ingest import metrics
from ingest.config import load
from ingest.scoreboard import Scoreboard
from ingest.supervision.debug import Debug
from ingest.supervision.profiler import SECONDS_MAX
from ingest.supervision.totals import Totals
from ingest.supervision.worker_process import WorkerProcess
from tests.delivery_rig import open_scoreboard
from tests.required_tools import skip_or_fail

PATHS = ["/debug/buffers", "/debug/stacks", "/debug/profile"]
TOKEN = "only-for-tests"


@dataclass
class Worker:
    """A worker as far as `/debug` looks at it; the pid is this very process's."""

    scoreboard: Scoreboard
    pid: int


Get = Callable[..., httpx.Response]


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    with contextlib.ExitStack() as boards:
        yield [Worker(boards.enter_context(open_scoreboard()), os.getpid()) for _ in range(2)]


@pytest.fixture
def get_from(workers: list[Worker]) -> Callable[..., Get]:
    """GET from an admin port with these settings; `authorization` is the header's value."""

    def with_settings(**settings: str) -> Get:
        totals = Totals()
        totals.workers = [cast(WorkerProcess, worker) for worker in workers]
        app = Starlette(routes=Debug(load(settings), totals).routes())

        def get(path: str, authorization: str | None = None) -> httpx.Response:
            return asyncio.run(ask(app, path, authorization))

        return get

    return with_settings


async def ask(app: Starlette, path: str, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"authorization": authorization}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        return await client.get(path, headers=headers)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and type, in the one shape of errors."""
    content = answer.json()
    assert content["status"] == answer.status_code
    assert content["error"]["reason"]
    return answer.status_code, content["error"]["type"]


# Who may look


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_on_loopback_it_is_open(get_from: Callable[..., Get], host: str) -> None:
    assert get_from(admin=f"{host}:9281")("/debug/buffers").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "ingest.example"])
@pytest.mark.parametrize("path", PATHS)
def test_elsewhere_nobody_may_look_without_a_token_in_the_settings(
    get_from: Callable[..., Get], host: str, path: str
) -> None:
    answer = get_from(admin=f"{host}:9281")(path, f"Bearer {TOKEN}")
    assert error_of(answer) == (403, "forbidden")
    assert "admin_token" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer only-for-test", f"Bearer {TOKEN}x", f"Basic {TOKEN}"],
)
def test_where_there_is_a_token_it_is_asked_for(
    get_from: Callable[..., Get], host: str, path: str, authorization: str | None
) -> None:
    answer = get_from(admin=f"{host}:9281", admin_token=TOKEN)(path, authorization)
    assert error_of(answer) == (401, "unauthorized")
    assert TOKEN not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_token_opens_it(get_from: Callable[..., Get], host: str) -> None:
    get = get_from(admin=f"{host}:9281", admin_token=TOKEN)
    assert get("/debug/buffers", f"Bearer {TOKEN}").status_code == 200


# What they ask for


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("seconds=0", 400, "seconds '0'"),
        (f"seconds={SECONDS_MAX + 1}", 400, f"from 1 to {SECONDS_MAX}"),
        ("seconds=-1", 400, "seconds '-1'"),
        ("seconds=1.5", 400, "seconds '1.5'"),
        ("seconds=", 400, "seconds ''"),
        ("seconds=ten", 400, "seconds 'ten'"),
        ("format=xml", 400, "flamegraph, speedscope, raw"),
        ("format=", 400, "format ''"),
        ("worker=2", 404, "choose all or 0 to 1"),
        ("worker=-1", 404, "worker '-1'"),
        ("worker=first", 404, "worker 'first'"),
    ],
)
def test_options_that_can_not_be_are_refused(
    get_from: Callable[..., Get], query: str, status: int, named: str
) -> None:
    answer = get_from()(f"/debug/profile?{query}")
    assert error_of(answer)[0] == status
    assert named in answer.json()["error"]["reason"]


# What they see


def test_buffers_are_shown_worker_by_worker(
    get_from: Callable[..., Get], workers: list[Worker]
) -> None:
    workers[0].scoreboard.set(metrics.BUFFERS_FREE, 5)
    workers[1].scoreboard.set(metrics.PENDING_BYTES, 77)
    workers[1].scoreboard.set(metrics.CONNECTIONS, 3)
    first, second = get_from(buffers="8")("/debug/buffers").json()["workers"]
    assert (first["buffers"], first["buffers_free"], first["pending_bytes"]) == (8, 5, 0)
    assert (second["pending_bytes"], second["connections"]) == (77, 3)
    assert second["max_pending_bytes"] >= second["buffer_bytes"] > 0


def test_a_profile_says_of_whom_and_how_long(get_from: Callable[..., Get]) -> None:
    """Of this very process, which waits for the answer meanwhile."""
    answer = get_from()("/debug/profile?seconds=1&worker=1&format=raw")
    if answer.status_code == 403:
        skip_or_fail(f"permission to trace processes: {answer.text}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert ", worker 1 of 2, 1 s, 0 documents/s" in answer.headers["ingest-profile"]


def test_stacks_are_shown_of_the_supervisor_and_each_worker(get_from: Callable[..., Get]) -> None:
    answer = get_from()("/debug/stacks")
    if answer.status_code == 403:
        skip_or_fail(f"permission to trace processes: {answer.text}")
    assert answer.status_code == 200
    assert answer.text.count(f"Process {os.getpid()}: ") == 3


def test_a_worker_that_is_gone_costs_only_its_part_of_the_stacks(
    get_from: Callable[..., Get], workers: list[Worker]
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    workers[0].pid = gone.pid
    answer = get_from()("/debug/stacks")
    if answer.status_code == 403:
        skip_or_fail(f"permission to trace processes: {answer.text}")
    assert answer.status_code == 200
    assert answer.text.count(f"Process {os.getpid()}: ") == 2
    assert f"Process {gone.pid}: py-spy failed" in answer.text

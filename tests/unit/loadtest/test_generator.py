"""The generator believes only answers that accept the whole body, and waits when it is told to."""

import asyncio
import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httptools
import pytest

from loadtest import corpus
from loadtest.generator import Load, run
from loadtest.tally import Tally, percentile_ms
from loadtest.wire import Answer, prepared_request

SIZE = 5  # documents a body
BODIES = [corpus.body(corpus.documents("logs", seed, SIZE)) for seed in range(3)]


@dataclass(frozen=True)
class Reply:
    """One scripted answer; `accepts` None accepts every document of the body."""

    status: int = 202
    accepts: int | None = None
    retry_after: str = ""
    closes: bool = False
    disconnects: bool = False
    errors: bool = False
    raw: bytes = b""


@dataclass
class Service:
    """A stand-in for `/ingest`: gives its replies in order, then accepts everything."""

    replies: list[Reply] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(*replies: Reply) -> Iterator[Service]:
    service, lock = Service(list(replies)), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-encoding"] == "gzip":
                body = gzip.decompress(body)
            with lock:
                reply = service.replies.pop(0) if service.replies else Reply()
                service.bodies.append(body)
                service.paths.append(self.path)
            self.close_connection = reply.closes or reply.disconnects
            if not reply.disconnects:
                self.wfile.write(reply.raw or encoded(reply, body.count(b"\n")))

        def log_message(self, format: str, *args: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield service
    server.shutdown()
    server.server_close()
    thread.join()


def encoded(reply: Reply, documents: int) -> bytes:
    accepted = documents if reply.accepts is None else reply.accepts
    answer = {"ack": "memory", "received": documents, "accepted": accepted, "errors": reply.errors}
    content = json.dumps(answer).encode()
    head = [f"HTTP/1.1 {reply.status} Scripted", f"Content-Length: {len(content)}"]
    head += [f"Retry-After: {reply.retry_after}"] if reply.retry_after else []
    head += ["Connection: close"] if reply.closes else []
    return "\r\n".join([*head, "", ""]).encode() + content


def send(service: Service, documents: int, connections: int = 1, **settings: Any) -> Tally:
    load = Load(
        host="127.0.0.1",
        port=int(service.url.rpartition(":")[2]),
        requests=[prepared_request(service.url, body) for body in BODIES],
        documents_per_body=SIZE,
        connections=connections,
        seconds=20,
        documents=documents,
        max_wait_s=0.01,
        **settings,
    )
    return asyncio.run(run(load))


def test_bodies_rotate_and_every_document_is_accepted_once() -> None:
    with serving() as service:
        tally = send(service, documents=7 * SIZE)
    assert service.bodies == [*BODIES, *BODIES, BODIES[0]]
    assert (tally.posts, tally.accepted, tally.statuses) == (7, 7 * SIZE, {202: 7})
    assert len(tally.latencies_s) == 7
    assert not tally.errors


def test_connections_share_the_load() -> None:
    with serving() as service:
        tally = send(service, documents=40 * SIZE, connections=4)
    assert len(service.bodies) == 40
    assert tally.accepted == 40 * SIZE


def test_a_rate_spaces_the_posts() -> None:
    with serving() as service:
        tally = send(service, documents=20 * SIZE, connections=4, posts_per_s=100.0)
    assert tally.posts == 20
    assert tally.seconds >= 19 / 100


def test_latency_counts_from_when_a_post_was_due() -> None:
    with serving() as service:
        tally = send(service, documents=20 * SIZE, posts_per_s=1e6)
    assert list(tally.latencies_s) == sorted(tally.latencies_s)  # all were due at once


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("closes", [False, True], ids=["keep-alive", "close"])
def test_shed_post_is_counted_and_sent_again_later(status: int, closes: bool) -> None:
    shed = Reply(status, accepts=0, retry_after="1", closes=closes)
    with serving(shed, Reply(), shed) as service:
        tally = send(service, documents=4 * SIZE)
    assert len(service.bodies) == 6
    assert (tally.shed, tally.accepted) == (2, 4 * SIZE)
    assert tally.statuses == {status: 2, 202: 4}
    assert not tally.errors


@pytest.mark.parametrize(
    "reply",
    [
        Reply(accepts=SIZE - 1),
        Reply(accepts=SIZE + 1),
        Reply(errors=True),
        Reply(status=400, accepts=0),
        Reply(status=503, accepts=2),
        Reply(raw=b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Reply(raw=b"SSH-2.0-surprise\r\n"),
        Reply(disconnects=True),
    ],
    ids=[
        "one too few",
        "one too many",
        "failed items",
        "refused",
        "shed half way",
        "no count",
        "empty",
        "not HTTP",
        "disconnect",
    ],
)
@pytest.mark.parametrize("before", [0, 3], ids=["at once", "after right answers"])
def test_answer_that_does_not_accept_all_is_an_error(reply: Reply, before: int) -> None:
    with serving(*[Reply()] * before, reply) as service:
        tally = send(service, documents=6 * SIZE)
    assert sum(tally.errors.values()) == 1
    assert tally.statuses[202] >= 5


def test_missing_service_is_an_error_and_ends_with_the_time() -> None:
    with serving() as service:
        pass
    port = int(service.url.rpartition(":")[2])
    tally = asyncio.run(run(Load("127.0.0.1", port, [b""], 1, connections=1, seconds=0.1)))
    assert set(tally.errors) == {"no connection: ConnectionRefusedError"}


@pytest.mark.parametrize(("status", "accepted"), [(200, SIZE), (204, SIZE), (500, 0)])
def test_any_success_takes_the_status_for_the_count(status: int, accepted: int) -> None:
    raw = f"HTTP/1.1 {status} Scripted\r\nContent-Length: 0\r\n\r\n".encode()
    with serving(Reply(raw=raw)) as service:
        tally = send(service, documents=SIZE, any_success=True)
    assert tally.accepted == accepted
    assert bool(tally.errors) == (accepted == 0)


@pytest.mark.parametrize("step", [1, 7, 1_000])
def test_answer_is_read_in_pieces(step: int) -> None:
    data = (
        b"HTTP/1.1 202 Accepted\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5\r\n{"acc\r\nc\r\nepted": 1000\r\n1\r\n}\r\n0\r\n\r\n'
    )
    answer = Answer()
    for place in range(0, len(data), step):
        assert not answer.is_complete
        answer.feed(data[place : place + step])
    assert answer.is_complete
    assert answer.accepted() == (1000, False)
    assert (answer.status, answer.retry_after_s, answer.keeps_alive) == (202, 3.0, True)


def test_damaged_answer_raises() -> None:
    with pytest.raises(httptools.HttpParserError):
        Answer().feed(b"HTTP/1.1 two hundred\r\n\r\n")


def test_prepared_request_names_path_query_and_encoding() -> None:
    query = [("ack", "memory"), ("index", "a b")]
    head, body = prepared_request("http://h:1", BODIES[0], query, True).split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /ingest?ack=memory&index=a+b HTTP/1.1"
    assert lines[1:] == [
        "host: h:1",
        "content-type: application/x-ndjson",
        "content-encoding: gzip",
        f"content-length: {len(body)}",
    ]
    assert gzip.decompress(body) == BODIES[0]


def test_path_of_the_url_replaces_the_usual_one() -> None:
    assert prepared_request("http://h/logs/in", b"").startswith(b"POST /logs/in HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([], 50, 0.0),
        ([2.0], 99, 2000.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2000.0),
        ([1.0] * 99 + [9.0], 99, 1000.0),
    ],
    ids=["nothing", "one", "half of four", "all but one in a hundred"],
)
def test_percentile_is_the_smallest_value_not_exceeded(
    values: Sequence[float], share: int, expected: float
) -> None:
    assert percentile_ms(values, share) == expected


@pytest.mark.parametrize("is_broken", [False, True], ids=["all accepted", "one refused"])
def test_command_prints_json_and_its_exit_code_tells_of_errors(is_broken: bool) -> None:
    with serving(*[Reply(status=400, accepts=0)] * is_broken) as service:
        command = f"--url {service.url} --documents-per-body 50 --connections 2 --documents 500"
        command += " --ack memory --gzip --query index=logs"
        done = subprocess.run(
            [sys.executable, "-m", "loadtest.generator", *command.split()],
            stdout=subprocess.PIPE,
            timeout=30,
            check=False,
        )
    summary = json.loads(done.stdout)
    assert done.returncode == is_broken
    assert summary["posts"] == 10
    assert summary["documents"] == 450 if is_broken else 500
    assert set(service.paths) == {"/ingest?ack=memory&index=logs"}
    assert {body.count(b"\n") for body in service.bodies} == {50}
    assert summary["latency_ms"].keys() == {"p50", "p90", "p99"}

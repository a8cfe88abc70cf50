"""A load generator that costs less than the service it loads.

Each connection POSTs bytes that were prepared once, waits for the answer, checks it and posts the
next body. An answer equal to the last one that was read and found right needs no reading: that is
the way of nearly every post. All others go through httptools and json.

With a rate given, posts are due at equal intervals, and a latency counts from when its post was
due, so that a service that stalls can't hide it.

A shed post (429, 503) waits as its `Retry-After` says, at most `max_wait_s`, and counts as nothing
sent. Every other answer that does not accept the whole body is an error, and so is a connection
that ends in the middle of a post.

    python -m loadtest.generator --url http://127.0.0.1:9280 --documents-per-body 1000 --seconds 5
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import httptools
import uvloop

from loadtest import corpus
from loadtest.tally import Tally
from loadtest.wire import Answer, prepared_request

ANSWER_TIMEOUT_S = 30.0  # for the answers that are outstanding when the time is over
RECONNECT_S = 0.05
SHED_STATUSES = (429, 503)


@dataclass(slots=True)
class Load:
    """What to send, to whom and for how long: ends at `seconds` or `documents`, what comes first.

    `any_success` takes each 2xx for the whole body accepted: for services with other answers.
    """

    host: str
    port: int
    requests: Sequence[bytes]
    documents_per_body: int
    connections: int = 8
    posts_per_s: float = 0.0  # over all connections; 0: as fast as they are accepted
    seconds: float = 5.0
    documents: int = sys.maxsize
    max_wait_s: float = 0.2
    any_success: bool = False


async def run(load: Load, clock: Callable[[], float] = time.perf_counter) -> Tally:
    """Send the whole load; ends when each post that was sent has its answer."""
    sender = Sender(load, clock)
    start_s = clock()
    try:
        async with asyncio.timeout(load.seconds + ANSWER_TIMEOUT_S), asyncio.TaskGroup() as group:
            for _ in range(load.connections):
                group.create_task(_keep_connected(sender))
    except TimeoutError:
        sender.tally.errors["no answer in time"] += 1
    sender.tally.seconds = clock() - start_s
    return sender.tally


async def _keep_connected(sender: "Sender") -> None:
    loop, load = asyncio.get_running_loop(), sender.load
    while not sender.is_done():
        wait_s = RECONNECT_S
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(sender), load.host, load.port
            )
            wait_s = await connection.closed
        except OSError as error:
            sender.tally.errors[f"no connection: {type(error).__name__}"] += 1
        if not sender.is_done():
            await asyncio.sleep(wait_s)


class Sender:
    """What the connections share: what is left to send, and the tally."""

    def __init__(self, load: Load, clock: Callable[[], float]):
        self.load = load
        self.clock = clock
        self.tally = Tally()
        self.right_answer = b""  # the last one that was read and found right
        self.right_status = 0
        self._requests = cycle(load.requests)
        self._left = load.documents
        self._next_due_s = clock()
        self._end_s = self._next_due_s + load.seconds

    def is_done(self) -> bool:
        return self._left <= 0 or self.clock() >= self._end_s

    def next_due_s(self, now_s: float) -> float:
        """When the next post is to be sent; in the past where the service does not keep up."""
        if not self.load.posts_per_s:
            return now_s
        due_s = self._next_due_s
        self._next_due_s += 1 / self.load.posts_per_s
        return due_s

    def next_request(self, now_s: float) -> bytes | None:
        if self._left <= 0 or now_s >= self._end_s:
            return None
        self._left -= self.load.documents_per_body
        return next(self._requests)

    def count_right(self, status: int, latency_s: float) -> None:
        tally = self.tally
        tally.posts += 1
        tally.accepted += self.load.documents_per_body
        tally.latencies_s.append(latency_s)
        tally.statuses[status] += 1

    def count_answer(self, answer: Answer, latency_s: float) -> bool:
        """Whether the whole body was accepted."""
        sent = self.load.documents_per_body
        accepted, has_errors = (sent, False) if self._is_taken(answer) else answer.accepted()
        if accepted == sent and not has_errors:
            self.count_right(answer.status, latency_s)
            return True
        self.tally.posts += 1
        self.tally.statuses[answer.status] += 1
        self.tally.accepted += accepted
        if answer.status in SHED_STATUSES and not accepted:
            self.tally.shed += 1
            self._left += sent
        else:
            self.tally.errors[f"status {answer.status}, {accepted} of {sent} accepted"] += 1
        return False

    def _is_taken(self, answer: Answer) -> bool:
        return self.load.any_success and answer.is_success()


class Connection(asyncio.Protocol):
    """One connection: a post at a time."""

    def __init__(self, sender: Sender):
        self._sender = sender
        self._answer: Answer | None = None  # one that is being read
        self._is_waiting = False  # for an answer
        self._due_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._wait_s = RECONNECT_S
        self.closed: asyncio.Future[float] = self._loop.create_future()  # seconds until the next

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._post()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_waiting:
            self._sender.tally.errors["disconnected in a post"] += 1
        self.closed.set_result(self._wait_s)

    def data_received(self, data: bytes) -> None:
        sender = self._sender
        if data == sender.right_answer and self._answer is None and self._is_waiting:
            sender.count_right(sender.right_status, sender.clock() - self._due_s)
            self._post()
            return
        self._read(data)

    def _post(self) -> None:
        now_s = self._sender.clock()
        self._due_s = self._sender.next_due_s(now_s)
        if self._due_s > now_s:
            self._loop.call_later(self._due_s - now_s, self._send, self._due_s)
        else:
            self._send(now_s)

    def _send(self, now_s: float) -> None:
        request = None if self._transport.is_closing() else self._sender.next_request(now_s)
        self._is_waiting = request is not None
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)

    def _read(self, data: bytes) -> None:
        is_whole = self._answer is None
        self._answer = answer = self._answer or Answer()
        try:
            answer.feed(data)
        except httptools.HttpParserError:
            self._sender.tally.errors["not an HTTP answer"] += 1
            self._is_waiting = False
            self._transport.abort()
            return
        if answer.is_complete:
            self._answer = None
            self._settle(answer, data if is_whole else b"")

    def _settle(self, answer: Answer, data: bytes) -> None:
        """`data`: the answer's bytes where they came in one piece."""
        sender = self._sender
        is_right = sender.count_answer(answer, sender.clock() - self._due_s)
        self._is_waiting = False
        if is_right and data:
            sender.right_answer, sender.right_status = data, answer.status
        self._wait_s = 0.0 if is_right else min(answer.retry_after_s, sender.load.max_wait_s)
        if not answer.keeps_alive:
            self._transport.abort()
        elif is_right:
            self._post()
        else:
            self._loop.call_later(self._wait_s, self._post)


def main() -> int:
    load = _load(_arguments())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tally = runner.run(run(load))
    print(json.dumps(tally.summary()))
    return 1 if tally.errors else 0


def _load(arguments: argparse.Namespace) -> Load:
    url, size = urlsplit(arguments.url), arguments.documents_per_body
    query = [*([f"ack={arguments.ack}"] if arguments.ack else []), *arguments.query]
    return Load(
        host=url.hostname or "127.0.0.1",
        port=url.port or 80,
        requests=[
            prepared_request(arguments.url, body, parse_qsl("&".join(query)), arguments.gzip)
            for body in _bodies(arguments.kind, arguments.seed, size)
        ],
        documents_per_body=size,
        connections=arguments.connections,
        posts_per_s=arguments.posts_per_s,
        seconds=arguments.seconds,
        documents=arguments.documents,
        any_success=arguments.any_success,
    )


def _bodies(kind: corpus.Kind, seed: int, size: int) -> list[bytes]:
    """Few enough to stay in the cache, enough to meet each service and target."""
    count = max(4, min(64, 4_000 // size))
    lines = corpus.documents(kind, seed, count * size)
    return [corpus.body(lines[place : place + size]) for place in range(0, len(lines), size)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.generator",
        description="POST documents as fast as they are accepted; prints JSON; 1 on errors.",
    )
    add = parser.add_argument
    add("--url", default="http://127.0.0.1:9280", help="with a path where it is not /ingest")
    add("--documents-per-body", type=int, default=1000, metavar="N")
    add("--connections", type=int, default=8, metavar="N")
    add("--posts-per-s", type=float, default=0.0, metavar="N", help="instead of all it can")
    add("--seconds", type=float, default=5.0)
    add("--documents", type=int, default=sys.maxsize, metavar="N", help="whole bodies, rounded up")
    add("--ack", choices=("memory", "durable", "indexed"))
    add("--gzip", action="store_true")
    add("--query", action="append", default=[], metavar="KEY=VALUE")
    add("--kind", choices=corpus.KINDS, default="logs")
    add("--seed", type=int, default=1)
    add("--any-success", action="store_true", help="a 2xx accepts the whole body, whatever it says")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

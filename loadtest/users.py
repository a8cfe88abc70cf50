"""The producers. Each posts what its kind sends, compares the answer, pauses, posts again.

An answer that the post does not deserve is a locust failure that says what is wrong. A shed post
is none: the producer waits as `Retry-After` says, and the post is reported in a row of its own,
`SHED`, so that it does not flatter the latencies. Its repeat is the producer's next post.
"""

import http.client
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import gevent
from locust import FastHttpUser, task
from locust.user.task import LOCUST_STATE_RUNNING

from loadtest import har, posts
from loadtest.accounting import Sent
from loadtest.posts import Post
from loadtest.verdicts import Verdict, judge

Kind = posts.Kind | Literal["replay"]

_SLOW_PIECES = 10
_SLOW_PAUSE_S = 0.1
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """What all producers are told. `pace` multiplies their pauses; 0: as fast as answers come."""

    seed: int = 1
    documents_per_body: int = 500
    pace: float = 1.0
    ack: str = ""
    har: str = ""


class Load:
    """What the producers of one process share: options, posts, and what was sent."""

    def __init__(self, options: Options):
        self.options = options
        self.random = Random(options.seed)
        self.sent: dict[str, Sent] = defaultdict(Sent)
        self.has_failed = False  # in a process that has reported
        self.posts = cache(self._posts)

    def _posts(self, kind: Kind) -> Sequence[Post]:
        options = self.options
        if kind == "replay":
            return har.posts(Path(options.har))
        return posts.posts(kind, options.seed, options.documents_per_body)

    def take_sent(self) -> dict[str, Sent]:
        """What was sent since the last call, for a process that reports to another."""
        taken, self.sent = self.sent, defaultdict(Sent)
        return taken


class Producer(FastHttpUser):  # type: ignore[misc]
    """One connection, one post at a time."""

    abstract = True
    kind: ClassVar[Kind]
    pause_s: ClassVar[tuple[float, float]] = (0.1, 0.3)

    def __init__(self, environment: Any):
        super().__init__(environment)
        self.load: Load = environment.load
        ready = self.load.posts(self.kind)
        first = int(self.load.random.random() * len(ready))
        self._posts = cycle([*ready[first:], *ready[:first]])

    @property
    def pace(self) -> float:
        return self.load.options.pace

    @task  # type: ignore[untyped-decorator]
    def produce(self) -> None:
        """Until locust asks to stop. It kills who waits in its own `wait`, even when the wait is
        just over and a post began: then nobody would know whether that was received."""
        while self._state == LOCUST_STATE_RUNNING:
            wait_s = self._post_next()
            gevent.sleep(max(wait_s, self.load.random.uniform(*self.pause_s) * self.pace))

    def _post_next(self) -> float:
        """Seconds that the service asks to wait."""
        post = next(self._posts)
        self.load.sent[self.kind].begin(post.documents)
        verdict = self.send(post)
        if verdict is None:
            return 0.0
        self.load.sent[self.kind].end(post, verdict)
        return verdict.retry_after_s

    def send(self, post: Post) -> Verdict | None:
        """None where no answer came, which locust reports as a failure by itself."""
        with self.client.post(
            self.path(post),
            data=post.body,
            headers=post.headers,
            name=self.kind,
            catch_response=True,
        ) as answer:
            if not answer.status_code:
                return None
            retry_after = answer.headers.get("Retry-After")
            verdict = judge(post, answer.status_code, retry_after, answer.content or b"")
            answer.request_meta["request_type"] = _row(verdict)
            if verdict.failure:
                answer.failure(verdict.failure)
            else:
                answer.success()
        return verdict

    def path(self, post: Post) -> str:
        ack = self.load.options.ack
        if not ack:
            return post.path
        return f"{post.path}{'&' if '?' in post.path else '?'}ack={ack}"


class BulkProducer(Producer):
    kind = "bulk"
    weight = 6


class SmallProducer(Producer):
    kind = "small"
    weight = 5
    pause_s = (0.02, 0.08)


class GzipProducer(Producer):
    kind = "gzip"
    weight = 2


class ArrayProducer(Producer):
    kind = "array"
    weight = 2


class OversizedProducer(Producer):
    kind = "oversized"
    weight = 1


class MalformedProducer(Producer):
    kind = "malformed"
    weight = 2


class ReplayProducer(Producer):
    kind = "replay"
    weight = 4


class PiecewiseProducer(Producer):
    """Writes its bodies piece by piece, on a connection of its own for each.

    No pace shortens its pauses: it would measure how fast connections are made, and a loop takes
    only one new connection in each of its turns (libuv).
    """

    abstract = True
    pace = 1.0

    def connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.host)
        return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)

    def begin(self, connection: http.client.HTTPConnection, post: Post) -> None:
        connection.putrequest("POST", self.path(post))
        for name, value in post.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(post.body)))
        connection.endheaders()

    def report(
        self, row: str, start_s: float, failure: str | Exception = "", length: int = 0
    ) -> None:
        self.environment.events.request.fire(
            request_type=row,
            name=self.kind,
            response_time=(time.perf_counter() - start_s) * 1000,
            response_length=length,
            exception=Exception(failure) if isinstance(failure, str) and failure else failure,
            context={},
        )


class SlowProducer(PiecewiseProducer):
    """Takes a second for a body. The service's own part is timed: from the last byte on."""

    kind = "slow"
    weight = 1

    def send(self, post: Post) -> Verdict | None:
        start_s = time.perf_counter()
        with closing(self.connect()) as connection:
            try:
                self.begin(connection, post)
                self._send_slowly(connection, post.body)
                start_s = time.perf_counter()
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.report("POST", start_s, error)
                return None
        verdict = judge(post, answer.status, answer.headers.get("Retry-After"), content)
        self.report(_row(verdict), start_s, verdict.failure, len(content))
        return verdict

    def _send_slowly(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        size = -(-len(body) // _SLOW_PIECES)
        for place in range(0, len(body), size):
            connection.send(body[place : place + size])
            gevent.sleep(_SLOW_PAUSE_S)


class DisconnectProducer(PiecewiseProducer):
    """Leaves in the middle of a body, so nobody tells it what was accepted."""

    kind = "disconnect"
    weight = 1

    def send(self, post: Post) -> Verdict | None:
        start_s = time.perf_counter()
        try:
            with closing(self.connect()) as connection:
                self.begin(connection, post)
                connection.send(post.body[: len(post.body) // 2])
            self.report("POST", start_s)
        except OSError as error:
            self.report("POST", start_s, error)
        return None


def _row(verdict: Verdict) -> str:
    """Under which request type locust shows the post."""
    return "POST" if verdict.outcome == "answered" else verdict.outcome.upper()

"""Producers that log every document and every answer: threads on raw, kept connections.

A document is known by its `key`. Its text is one that no JSON library would write again in the
same way, and one of many is refused by Elasticsearch for good, because its `n` is not a number.
"""

import contextlib
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from tests.faults.oracle import Fate, Oracle, Post
from tests.service import NDJSON

TIMEOUT_S = 20.0
REST_S = 0.05  # after a refusal or a broken connection
POISON_EVERY = 500
INDEX = "load"
MAPPINGS = {  # nothing dynamic: else one value may be refused first and fit later
    "properties": {
        "n": {"type": "long"},
        "odd": {"type": "double"},
        "key": {"type": "keyword"},
        "text": {"type": "text"},
    }
}
_ODD_NUMBERS = ("1e5", "100.0", "-0.0", "18446744073709551616", "0.1000000000000000055")
_BAD_LINE = b'{"key": torn\n'


def make_documents(prefix: str, start: int, count: int, chance: random.Random) -> dict[str, bytes]:
    """Lines by key, without their line breaks."""
    documents = {}
    for number in range(start, start + count):
        key = f"{prefix}-{number}"
        n = '"none"' if number % POISON_EVERY == POISON_EVERY - 1 else str(number)
        pad = "\\u00e9 é " * chance.randrange(1, 30)
        odd = chance.choice(_ODD_NUMBERS)
        line = f'{{"key" : "{key}","n":{n}, "text":"{pad}","odd":[{odd} ]}}'
        documents[key] = line.encode()
    return documents


class Producer(threading.Thread):
    """Posts until it is stopped; `url` is asked for anew with each connection.

    `repeats`: each request carries an Idempotency-Key and is sent again, whole, until an answer
    says that it was accepted; a line that can't be read stands in its middle, so that the
    positions of refused lines count too.
    """

    def __init__(
        self,
        name: str,
        url: Callable[[], str],
        oracle: Oracle,
        *,
        seed: int,
        ack: str = "durable",
        index: str = INDEX,
        documents: int = 20,
        pause_s: float = 0.03,
        repeats: bool = False,
        timeout_s: float = TIMEOUT_S,
    ):
        super().__init__(name=name, daemon=True)
        self._url = url
        self._oracle = oracle
        self._chance = random.Random(f"{name} {seed}")
        self._ack = ack
        self._target = f"/ingest?index={index}&ack={ack}"
        self._documents = documents
        self._pause_s = pause_s
        self._repeats = repeats
        self._timeout_s = timeout_s
        self._next = 0
        self._pending: dict[str, bytes] | None = None  # to be sent again
        self._is_over = threading.Event()

    def stop(self) -> None:
        self._is_over.set()

    def run(self) -> None:
        while not self._is_over.is_set():
            try:
                self._post_on_one_connection()
            except (OSError, http.client.HTTPException):
                time.sleep(REST_S)

    def _post_on_one_connection(self) -> None:
        address = urlsplit(self._url()).netloc
        with contextlib.closing(
            http.client.HTTPConnection(address, timeout=self._timeout_s)
        ) as peer:
            while not self._is_over.is_set():
                documents = self._pending or self._make()
                post = self._post(peer, documents)
                is_done = not self._repeats or post.fate == "accepted"
                self._pending = None if is_done else documents
                time.sleep(self._pause_s if post.fate == "accepted" else REST_S)

    def _make(self) -> dict[str, bytes]:
        documents = make_documents(self.name, self._next, self._documents, self._chance)
        self._next += self._documents
        self._oracle.note_sent(documents)
        return documents

    def _post(self, peer: http.client.HTTPConnection, documents: dict[str, bytes]) -> Post:
        """Raises what the connection raised, after the unknown fate is noted."""
        self._pending = documents if self._repeats else None
        keys = list(documents)
        lines = [line + b"\n" for line in documents.values()]
        headers = {"content-type": NDJSON}
        if self._repeats:
            headers["idempotency-key"] = keys[0]
            lines.insert(len(lines) // 2, _BAD_LINE)
            keys.insert(len(keys) // 2, "")
        try:
            peer.request("POST", self._target, b"".join(lines), headers)
            answer = peer.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._oracle.note_answer(Post(self._ack, "unknown", None, keys, frozenset()))
            raise
        post = judge_answer(self._ack, answer.status, json.loads(content), keys)
        self._oracle.note_answer(post)
        return post


def judge_answer(ack: str, status: int, answer: dict[str, Any], keys: list[str]) -> Post:
    """What an answer promises. After a refusal of the rest, what came before stays accepted."""
    listed = {item["position"] for item in answer.get("items", ())}
    fate: Fate = "refused"
    accepted = 0
    if status in (200, 202):
        fate, accepted = "accepted", len(keys)
    elif ack == "durable":
        accepted = answer.get("next_position", 0)
    promised = {key for at, key in enumerate(keys[:accepted]) if key and at not in listed}
    if ack == "memory":
        promised = set()
    return Post(ack, fate, status, keys, frozenset(promised))


@contextlib.contextmanager
def producing(*producers: Producer) -> Iterator[None]:
    """All of them post for as long as the block lasts."""
    for producer in producers:
        producer.start()
    try:
        yield
    finally:
        for producer in producers:
            producer.stop()
        for producer in producers:
            producer.join(2 * TIMEOUT_S)

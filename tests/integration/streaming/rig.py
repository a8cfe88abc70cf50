"""What the tests of long bodies share: limits, documents, ways of sending them."""

import gzip
import random
from collections.abc import Callable

import orjson
import pytest

from tests.fakes import ScriptedElasticsearch
from tests.http_client import RawClient, chunked_head, chunks, pieces_of, post
from tests.service import Answer, Service
from tests.zstd import zstd

KiB, MiB = 1 << 10, 1 << 20
BUFFER_BYTES = 64 * KiB
DOCUMENT_BYTES_MAX = 48 * KiB
BODY_BYTES_MAX = 4 * MiB
BUFFERS = 2
CONNECTIONS_MAX = 24
PENDING_BYTES_MAX = 256 * KiB


def gauge(service: Service, name: str) -> float:
    return service.metrics()[f"ingest_{name}"]


def documents(count: int, size_bytes: int = 200, seed: int = 7) -> list[bytes]:
    """Lines that compress about as well as logs do."""
    source = random.Random(seed)
    lines = []
    for n in range(count):
        words = "".join(source.choices(("error ", "warning ", "GET ", "/a/b ", "x9 "), k=20))
        noise = source.randbytes(size_bytes // 16).hex()
        line = b'{"n":%d,"noise":"%b","text":"%b' % (n, noise.encode(), words.encode())
        lines.append(line.ljust(size_bytes - 2, b".") + b'"}')
    return lines


def joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def stored(es: ScriptedElasticsearch, index: str) -> list[bytes]:
    """In the order in which they were sent: by the number that each carries."""
    return sorted(es.sources(index).values(), key=lambda line: int(orjson.loads(line)["n"]))


def wait_for_count(es: ScriptedElasticsearch, index: str, count: int) -> None:
    es.wait_until(lambda: len(es.sources(index)) == count)


def send_with_length(client: RawClient, target: str, body: bytes, headers: dict[str, str]) -> None:
    client.send_what_is_taken(post(target, body, headers))


def send_chunked(client: RawClient, target: str, body: bytes, headers: dict[str, str]) -> None:
    client.send(chunked_head(target, headers))
    client.send_what_is_taken(chunks(pieces_of(body, 10_000)))


def send_gzip(client: RawClient, target: str, body: bytes, headers: dict[str, str]) -> None:
    headers = {"content-encoding": "gzip", **headers}
    client.send_what_is_taken(post(target, gzip.compress(body, 1), headers))


def send_zstd_chunked(client: RawClient, target: str, body: bytes, headers: dict[str, str]) -> None:
    headers = {"content-encoding": "zstd", **headers}
    send_chunked(client, target, zstd.compress(body, 1), headers)


Send = Callable[[RawClient, str, bytes, dict[str, str]], None]
each_way = pytest.mark.parametrize(
    "send", [send_with_length, send_chunked, send_gzip, send_zstd_chunked]
)


def answer_to(service: Service, send: Send, target: str, body: bytes, **headers: str) -> Answer:
    with RawClient(service.url) as client:
        send(client, target, body, headers)
        return client.read_answer()


def accepted_of(answer: Answer) -> int:
    """What a request error says was accepted before it."""
    content = answer.json
    if content.keys() == {"error", "status"}:
        return 0
    assert content.keys() == {"error", "status", "accepted", "rejected", "next_position"}
    accepted: int = content["accepted"]
    assert content["next_position"] == accepted + content["rejected"]
    return accepted

"""The null sink counts what arrives, however it is cut into pieces, and answers as a node would."""

import asyncio
import gzip
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from elasticsearch import Elasticsearch
from hypothesis import given
from hypothesis import strategies as st

from loadtest import corpus
from loadtest.bulk_answer import bulk_answer
from loadtest.sink import Counts, SinkConnection

FILTER = "errors,took,items.*.status,items.*.error,items.*.failure_store"
LINES = corpus.documents("varied", 1, 40)


@pytest.fixture(scope="module")
def sink() -> Iterator[str]:
    """HOST:PORT of a sink in a process of its own."""
    command = [sys.executable, "-m", "loadtest.sink", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().removeprefix("http://")
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture
def connection(sink: str) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection(sink, timeout=10)
    yield opened
    opened.close()


class Recorder(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed


def bulk(lines: Sequence[bytes], action: str = "create") -> bytes:
    head = b'{"%b":{"_index":"logs"}}' % action.encode()
    return b"".join(b"%b\n%b\n" % (head, line) for line in lines)


def bulk_request(body: bytes, headers: str = "", path: str = "/_bulk?filter_path=errors") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: sink\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def feed(pieces: Sequence[bytes], buffer_bytes: int = 64) -> tuple[Recorder, Counts]:
    """One connection that receives these pieces, in reads of at most `buffer_bytes`."""
    counts, transport = Counts(), Recorder()
    connection = SinkConnection(counts, bytearray(buffer_bytes))
    connection.connection_made(transport)
    for piece in pieces:
        for place in range(0, len(piece), buffer_bytes):
            part = piece[place : place + buffer_bytes]
            connection.get_buffer(-1)[: len(part)] = part
            connection.buffer_updated(len(part))
    return transport, counts


def read_counts(connection: http.client.HTTPConnection) -> Counts:
    connection.request("GET", "/_counts")
    return Counts(**json.load(connection.getresponse()))


@given(st.lists(st.integers(1, 3_000), max_size=12), st.integers(1, 700))
def test_pieces_do_not_change_counts_or_answers(cuts: list[int], buffer_bytes: int) -> None:
    stream = bulk_request(bulk(LINES[:3])) + bulk_request(bulk(LINES[3:5])) + bulk_request(b"{}\n")
    edges = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = [stream[left:right] for left, right in pairwise(edges)]
    whole, expected = feed([stream], len(stream))
    cut, counts = feed(pieces, buffer_bytes)
    assert cut.written == whole.written
    assert counts == expected == Counts(5, 2, len(bulk(LINES[:5])))


@given(st.lists(st.binary().map(lambda text: text.replace(b"\n", b" ")), min_size=1))
def test_documents_are_counted_whatever_they_hold(lines: list[bytes]) -> None:
    assert feed([bulk_request(bulk(lines))])[1].documents == len(lines)


@pytest.mark.parametrize("action", ["create", "index"])
def test_bulk_gets_one_item_for_each_document(
    connection: http.client.HTTPConnection, action: str
) -> None:
    connection.request("POST", f"/_bulk?filter_path={FILTER}", bulk(LINES, action))
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["X-elastic-product"] == "Elasticsearch"
    assert answer.headers["content-type"] == "application/json"
    item = f'{{"{action}":{{"status":201}}}}'
    items = ",".join([item] * len(LINES))
    assert answer.read().decode() == f'{{"errors":false,"took":1,"items":[{items}]}}'


@pytest.mark.parametrize(
    ("filter_path", "expected"),
    [
        ("errors", {"errors": False}),
        ("took,errors", {"errors": False, "took": 1}),
        ("items.*.error", {}),
        ("items.create.status", {"items": [{"create": {"status": 201}}] * 2}),
        (
            "items.*._id,items.*.res*",
            {"items": [{"create": {"_id": "0", "result": "created"}}] * 2},
        ),
    ],
    ids=["errors", "own order of keys", "nothing left", "named action", "wildcard in a name"],
)
def test_filter_path_leaves_what_it_names(filter_path: str, expected: object) -> None:
    assert json.loads(bulk_answer(2, "create", filter_path)) == expected


@pytest.mark.parametrize("filter_path", ["", "*", "items,errors,took"])
def test_items_are_full_without_a_narrow_filter(filter_path: str) -> None:
    item = json.loads(bulk_answer(1, "index", filter_path))["items"][0]["index"]
    assert {"_index", "_id", "_version", "result", "_shards", "_seq_no", "status"} <= item.keys()


@pytest.mark.parametrize(
    "body",
    [b"", bulk(LINES)[:-1], bulk(LINES) + b"{}\n", b'{"delete":{"_id":"1"}}\n' * 2],
    ids=["empty", "no last line break", "a line too many", "another action"],
)
def test_unreadable_bulk_is_refused_whole_and_not_counted(
    connection: http.client.HTTPConnection, body: bytes
) -> None:
    before = read_counts(connection)
    connection.request("POST", "/_bulk", body)
    answer = connection.getresponse()
    assert (answer.status, json.load(answer)["status"]) == (400, 400)
    assert read_counts(connection) == before


def test_counts_grow_by_documents_requests_and_bytes(
    connection: http.client.HTTPConnection,
) -> None:
    before, body = read_counts(connection), bulk(LINES)
    for _ in range(3):
        connection.request("PUT", "/logs/_bulk", body)
        connection.getresponse().read()
    after = read_counts(connection)
    assert after.documents - before.documents == 3 * len(LINES)
    assert after.requests - before.requests == 3
    assert after.bytes - before.bytes == 3 * len(body)


def test_compressed_bulk_is_counted_by_its_lines(connection: http.client.HTTPConnection) -> None:
    before, body = read_counts(connection), gzip.compress(bulk(LINES))
    connection.request("POST", "/_bulk", body, {"Content-Encoding": "gzip"})
    assert len(json.load(connection.getresponse())["items"]) == len(LINES)
    after = read_counts(connection)
    assert after.documents - before.documents == len(LINES)
    assert after.bytes - before.bytes == len(body)


def test_large_bulk_arrives_whole(connection: http.client.HTTPConnection) -> None:
    lines = corpus.documents("logs", 1, 100) * 50
    before = read_counts(connection)
    connection.request("POST", f"/_bulk?filter_path={FILTER}", bulk(lines))
    assert len(json.load(connection.getresponse())["items"]) == 5_000
    assert read_counts(connection).documents - before.documents == 5_000


def test_chunked_body_is_refused_and_the_connection_closed() -> None:
    request = b"POST /_bulk HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n"
    transport, counts = feed([request])
    assert transport.written.startswith(b"HTTP/1.1 411 ")
    assert transport.is_closed
    assert counts == Counts()


def test_endless_head_closes_the_connection() -> None:
    transport, _ = feed([b"GET / HTTP/1.1\r\nfiller: ", b"x" * 70_000], 4_096)
    assert transport.is_closed


def test_official_client_takes_it_for_elasticsearch(sink: str) -> None:
    with Elasticsearch(f"http://{sink}") as client:
        assert client.ping()
        assert client.info()["version"]["number"].startswith("8.")
        assert client.cluster.health()["status"] == "green"
        assert client.indices.put_index_template(name="logs", index_patterns="x")["acknowledged"]
        assert not client.indices.exists_index_template(name="logs")
        operations = [json.loads(line) for line in bulk(LINES).splitlines()]
        answer = client.bulk(operations=operations, filter_path=FILTER)
        assert answer["errors"] is False
        assert len(answer["items"]) == len(LINES)

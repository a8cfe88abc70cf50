"""Bodies of any length, damaged ones, slow senders, and what happens when there is no room.

The service has two small buffers, so that every limit is near. After each test all documents must
have their outcome, and after the last all buffers must be free and nothing pending.
"""

import contextlib
import gzip
import random
import sys
import threading
from collections.abc import Callable, Iterator

import orjson
import pytest

from tests.fakes import ScriptedElasticsearch
from tests.http_client import (
    RawClient,
    chunk,
    chunked_head,
    chunks,
    head,
    pieces_of,
    post,
    request,
)
from tests.service import JSON, NDJSON, Answer, Service, is_balanced

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KiB, MiB = 1 << 10, 1 << 20
BUFFER_BYTES = 64 * KiB
DOCUMENT_BYTES_MAX = 48 * KiB
BODY_BYTES_MAX = 4 * MiB
BUFFERS = 2
CONNECTIONS_MAX = 24


@pytest.fixture(scope="module")
def es() -> Iterator[ScriptedElasticsearch]:
    with ScriptedElasticsearch() as node:
        yield node


@pytest.fixture(scope="module")
def running(
    es: ScriptedElasticsearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("data"),
        es.url,
        ack="memory",
        flush_interval_s=0.02,
        max_document_bytes=DOCUMENT_BYTES_MAX,
        buffer_bytes=BUFFER_BYTES,
        buffers=BUFFERS,
        flush_bytes=128 * KiB,
        max_pending_bytes=256 * KiB,
        max_body_bytes=BODY_BYTES_MAX,
        max_decompression_ratio=50,
        buffer_wait_s=0.5,
        min_body_bytes_per_s=1 * KiB,
        body_grace_s=2,
        max_connections=CONNECTIONS_MAX,
        backoff_max_s=0.5,
    ) as service:
        yield service
        service.wait_until(lambda: gauge(service, "buffers_free") == BUFFERS)
        service.wait_until(lambda: gauge(service, "pending_bytes") == 0)


@pytest.fixture
def service(running: Service, es: ScriptedElasticsearch) -> Iterator[Service]:
    """The running service; after the test all that it took must have its outcome."""
    yield running
    es.resume()
    assert is_balanced(running.wait_until_settled())


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


# one buffer is enough


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


@each_way
def test_body_many_times_larger_than_a_buffer_goes_through_one(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(20 * BUFFER_BYTES // 200)
    answer = answer_to(service, send, f"/ingest?ack=indexed&index={index_name}", joined(lines))
    assert (answer.status, answer.json["received"]) == (200, len(lines))
    assert stored(es, index_name) == lines


@each_way
@pytest.mark.parametrize(
    "length",
    [
        DOCUMENT_BYTES_MAX + 1,
        BUFFER_BYTES - 1,
        BUFFER_BYTES,
        BUFFER_BYTES + 1,
        2 * BUFFER_BYTES,
        10 * BUFFER_BYTES + 17,
    ],
    ids=["over_the_limit", "buffer_less_1", "buffer", "buffer_and_1", "two", "ten"],
)
@pytest.mark.parametrize("place", ["between", "last"])
def test_huge_line_is_refused_and_its_neighbours_are_not(
    send: Send,
    length: int,
    place: str,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    good = documents(20)
    huge = documents(1, length)[0][:length]
    body = joined([*good[:10], huge, *good[10:]]) if place == "between" else joined(good) + huge
    answer = answer_to(service, send, f"/ingest?ack=indexed&index={index_name}", body)
    assert (answer.status, answer.json["received"], answer.json["rejected"]) == (200, 21, 1)
    (item,) = answer.json["items"]
    assert item["position"] == (10 if place == "between" else 20)
    assert (item["status"], item["error"]["type"]) == (413, "document_too_large")
    assert stored(es, index_name) == good


@each_way
def test_line_at_the_limit_is_taken(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(3, DOCUMENT_BYTES_MAX - 1)  # its line break counts
    answer = answer_to(service, send, f"/ingest?ack=indexed&index={index_name}", joined(lines))
    assert (answer.status, answer.json["accepted"]) == (200, 3)
    assert stored(es, index_name) == lines


@each_way
def test_array_over_a_buffer_is_refused_with_advice(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    body = b"[%b]" % b",".join(documents(2 * BUFFER_BYTES // 200))
    target = f"/ingest?index={index_name}"
    answer = answer_to(service, send, target, body, **{"content-type": JSON})
    assert (answer.status, answer.json["error"]["type"]) == (413, "body_too_large")
    assert "x-ndjson" in answer.json["error"]["reason"]
    assert stored(es, index_name) == []


# limits of a body


def accepted_of(answer: Answer) -> int:
    """What a request error says was accepted before it."""
    content = answer.json
    if content.keys() == {"error", "status"}:
        return 0
    assert content.keys() == {"error", "status", "accepted", "rejected", "next_position"}
    accepted: int = content["accepted"]
    assert content["next_position"] == accepted + content["rejected"]
    return accepted


def test_body_that_expands_too_much_is_refused(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    bomb = gzip.compress(joined([b'{"n":%d,"zeros":"%b"}' % (n, b"0" * 9000) for n in range(400)]))
    answer = answer_to(
        service,
        send_with_length,
        f"/ingest?index={index_name}",
        bomb,
        **{"content-encoding": "gzip"},
    )
    assert answer.status == 413
    assert "max_decompression_ratio" in answer.json["error"]["reason"]
    es.wait_until(lambda: len(stored(es, index_name)) == accepted_of(answer))


@each_way
def test_body_over_the_limit_is_refused_and_what_was_read_stays_accepted(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(BODY_BYTES_MAX // 1000 + 100, 1000)
    answer = answer_to(service, send, f"/ingest?index={index_name}", joined(lines))
    assert answer.status == 413
    assert "max_body_bytes" in answer.json["error"]["reason"]
    accepted = accepted_of(answer)
    assert (accepted > 0) == (send is not send_with_length)
    es.wait_until(lambda: len(es.sources(index_name)) == accepted)
    assert stored(es, index_name) == lines[:accepted]


def cut(packed: bytes) -> bytes:
    return packed[: len(packed) * 3 // 4]


def cut_before_the_checksum(packed: bytes) -> bytes:
    return packed[:-8]


def wrong_checksum(packed: bytes) -> bytes:
    return packed[:-8] + bytes(8)


def with_rubbish_behind(packed: bytes) -> bytes:
    return packed + b"rubbish that is no gzip member"


@pytest.mark.parametrize(
    "damage", [cut, cut_before_the_checksum, wrong_checksum, with_rubbish_behind]
)
@pytest.mark.parametrize("send", [send_with_length, send_chunked])
def test_damaged_gzip_is_refused_and_complete_lines_stay_accepted(
    damage: Callable[[bytes], bytes],
    send: Send,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    lines = documents(10 * BUFFER_BYTES // 200)
    body = damage(gzip.compress(joined(lines)))
    target = f"/ingest?index={index_name}"
    answer = answer_to(service, send, target, body, **{"content-encoding": "gzip"})
    assert (answer.status, answer.json["error"]["type"]) == (400, "damaged_body")
    accepted = accepted_of(answer)
    assert 0 < accepted <= len(lines)
    es.wait_until(lambda: len(es.sources(index_name)) == accepted)
    assert stored(es, index_name) == lines[:accepted]


@pytest.mark.parametrize("way", ["disconnect", "reset", "half_close"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_sender_that_leaves_keeps_what_was_complete_and_frees_its_buffer(
    way: str,
    is_chunked: bool,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    lines = documents(4 * BUFFER_BYTES // 200)
    body, target = joined(lines)[:-50], f"/ingest?index={index_name}"
    sent = chunked_head(target) + chunk(body)
    if not is_chunked:
        sent = head("POST", target, {"content-type": NDJSON, "content-length": "4000000"}) + body
    before = service.metrics()['ingest_requests_total{status="disconnect"}']
    with RawClient(service.url) as client:
        client.send(sent)
        least = 2 * BUFFER_BYTES // 200
        es.wait_until(lambda: len(es.sources(index_name)) > least)
        {"disconnect": client.disconnect, "reset": client.reset, "half_close": client.end_sending}[
            way
        ]()
        service.wait_until(
            lambda: service.metrics()['ingest_requests_total{status="disconnect"}'] == before + 1
        )
    service.wait_until_settled()
    found = stored(es, index_name)
    assert found == lines[: len(found)]


# slow senders


def test_slow_sender_is_refused_and_its_lines_stay_accepted(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    with RawClient(service.url) as client:
        client.send(chunked_head(f"/ingest?index={index_name}") + chunk(b'{"n":0}\n{"n":1}\n{"n":'))
        answer = client.read_answer()
        assert client.is_ended()
    assert (answer.status, answer.json["error"]["type"]) == (408, "slow_sender")
    assert answer.headers["connection"] == "close"
    assert (accepted_of(answer), answer.json["next_position"]) == (2, 2)
    es.wait_until(lambda: stored(es, index_name) == [b'{"n":0}', b'{"n":1}'])


def test_documents_of_a_trickling_stream_arrive_before_it_ends(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(6, 8000)
    with RawClient(service.url) as client:
        client.send(chunked_head(f"/ingest?index={index_name}&ack=indexed"))
        for count, line in enumerate(lines, 1):
            client.send(chunk(line + b"\n"))
            wait_for_count(es, index_name, count)
        client.send(chunk(b""))
        answer = client.read_answer()
    assert (answer.status, answer.json["received"]) == (200, len(lines))
    assert stored(es, index_name) == lines


# no room


@contextlib.contextmanager
def all_buffers_held(service: Service) -> Iterator[None]:
    """As many senders as there are buffers, each just fast enough to be left alone."""
    is_over = threading.Event()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(service.url)) for _ in range(BUFFERS)]
        for client in clients:
            headers = {"content-type": NDJSON, "content-length": "4000000"}
            client.send(head("POST", "/ingest?index=held", headers) + b" ")

        def trickle() -> None:
            while not is_over.wait(0.1):
                for client in clients:
                    client.send_what_is_taken(b" " * 1000)

        trickling = threading.Thread(target=trickle)
        trickling.start()
        try:
            service.wait_until(lambda: gauge(service, "buffers_free") == 0)
            yield
        finally:
            is_over.set()
            trickling.join()


def test_sender_without_a_buffer_is_shed_and_later_ones_are_served(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(2 * BUFFER_BYTES // 200)
    target = f"/ingest?index={index_name}&ack=indexed"
    with all_buffers_held(service):
        answer = answer_to(service, send_with_length, target, joined(lines))
        assert (answer.status, answer.json["error"]["type"]) == (429, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json.keys() == {"error", "status"}
    assert stored(es, index_name) == []
    service.wait_until(lambda: gauge(service, "buffers_free") == BUFFERS)
    assert answer_to(service, send_with_length, target, joined(lines)).status == 200
    assert stored(es, index_name) == lines


def test_small_posts_need_no_buffer(service: Service, index_name: str) -> None:
    with all_buffers_held(service), RawClient(service.url) as client:
        for _ in range(5):
            client.send(post(f"/ingest?index={index_name}&ack=indexed", b'{"n":1}\n'))
            assert client.read_answer().status == 200


def test_waiting_sender_is_served_when_a_buffer_comes_back(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(2 * BUFFER_BYTES // 200)
    for _ in range(10):  # where the machine stalls, the wait may be over first
        with RawClient(service.url) as client:
            with all_buffers_held(service):
                client.send_what_is_taken(post(f"/ingest?index={index_name}", joined(lines)))
            answer = client.read_answer()
        if answer.status == 202:
            break
    assert (answer.status, answer.json["accepted"]) == (202, len(lines))
    es.wait_until(lambda: stored(es, index_name) == lines)


def test_senders_are_shed_while_elasticsearch_is_stuck_and_all_goes_on_after(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(3000)
    batches = [lines[start : start + 100] for start in range(0, len(lines), 100)]
    target = f"/ingest?index={index_name}"
    es.pause()
    accepted: list[bytes] = []
    for batch in batches:
        answer = answer_to(service, send_with_length, target, joined(batch))
        if answer.status != 202:
            break
        accepted += batch
    assert (answer.status, answer.json["error"]["type"]) == (429, "overloaded")
    assert int(answer.headers["retry-after"]) >= 1
    assert "max_pending_bytes" in answer.json["error"]["reason"]
    assert gauge(service, "pending_bytes") >= 256 * KiB
    es.resume()
    service.wait_until_settled()
    assert stored(es, index_name) == accepted
    answer = answer_to(service, send_with_length, target, joined(lines[-1:]))
    assert answer.status == 202


@each_way
def test_durable_body_is_kept_on_disk_while_elasticsearch_is_stuck(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    """What is acked was written; it may be shed before its end, as it is read back for sending."""
    lines = documents(20 * BUFFER_BYTES // 200)
    es.pause()
    answer = answer_to(service, send, f"/ingest?ack=durable&index={index_name}", joined(lines))
    assert answer.status in (202, 429)
    accepted = len(lines) if answer.status == 202 else accepted_of(answer)
    assert service.documents()["spooled"] >= accepted
    es.resume()
    service.wait_until_settled()
    found = stored(es, index_name)
    assert len(found) >= accepted
    assert found == lines[: len(found)]


@each_way
def test_long_body_is_shed_in_its_middle_and_says_what_was_accepted(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(10 * BUFFER_BYTES // 200)
    es.pause()
    answer = answer_to(service, send, f"/ingest?index={index_name}", joined(lines))
    es.resume()
    assert answer.status == 429
    accepted = accepted_of(answer)
    assert 0 < accepted < len(lines)
    service.wait_until_settled()
    assert stored(es, index_name) == lines[:accepted]


def test_compressed_body_that_had_to_wait_is_read_to_its_end(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    """All of it has arrived and most of it is not decompressed yet when the room runs out."""
    lines = documents(8 * BUFFER_BYTES // 200)
    target = f"/ingest?index={index_name}&ack=indexed"
    with RawClient(service.url) as client:
        es.pause()
        send_gzip(client, target, joined(lines), {})
        resuming = threading.Timer(0.2, es.resume)
        resuming.start()
        answer = client.read_answer()
        resuming.join()
    assert answer.status in (200, 429)  # 429 where the machine stalled
    received = len(lines) if answer.status == 200 else accepted_of(answer)
    service.wait_until_settled()
    assert stored(es, index_name) == lines[:received]


def test_request_behind_a_shed_one_is_answered(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    """The shed one had arrived completely, so the connection goes on."""
    target = f"/ingest?index={index_name}"
    es.pause()
    while answer_to(service, send_with_length, target, joined(documents(100))).status == 202:
        pass
    with RawClient(service.url) as client:
        client.send(post(target, b'{"n":1}\n') + request("GET", "/ingest"))
        assert client.read_answer().status == 429
        assert client.read_answer().status == 405


def test_connection_over_the_limit_is_refused(service: Service) -> None:
    service.wait_until(lambda: gauge(service, "connections") == 0)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(service.url)) for _ in range(CONNECTIONS_MAX)]
        for client in clients:
            client.send(request("GET", "/ingest"))
            assert client.read_answer().status == 405
        with RawClient(service.url) as refused:
            answer = refused.read_answer()
            assert refused.is_ended()
        assert (answer.status, answer.json["error"]["type"]) == (503, "unavailable")
        assert answer.headers["connection"] == "close"
        assert int(answer.headers["retry-after"]) >= 1
        clients[0].disconnect()
        service.wait_until(lambda: is_served(service))


def is_served(service: Service) -> bool:
    with RawClient(service.url) as client:
        client.send_what_is_taken(request("GET", "/ingest"))
        return client.read_answer().status == 405

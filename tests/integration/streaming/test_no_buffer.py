"""All buffers or connections are taken: who waits, who is shed, who is served all the same."""

import contextlib
import threading
from collections.abc import Iterator

from tests.fakes import ScriptedElasticsearch
from tests.http_client import RawClient, head, post, request
from tests.integration.streaming.rig import (
    BUFFER_BYTES,
    BUFFERS,
    CONNECTIONS_MAX,
    answer_to,
    documents,
    gauge,
    joined,
    send_with_length,
    stored,
)
from tests.service import NDJSON, Service


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

"""What one connection carries: posts in a row, pipelined, mixed with others, and its end."""

import pytest

from tests.http_client import RawClient, chunked_head, chunks, post, request
from tests.integration.ingest_http.rig import (
    ACKS,
    ANOTHER_TYPE,
    BROKEN_ARRAY,
    DAMAGED,
    GET,
    GOOD,
    PUT,
)
from tests.service import NDJSON, Service


@pytest.mark.parametrize("ack", list(ACKS))
@pytest.mark.parametrize("piece_bytes", [None, 1, 100], ids=["at_once", "bytewise", "by_100"])
def test_pipelined_posts_are_answered_in_order(
    ack: str, piece_bytes: int | None, service: Service, index_name: str
) -> None:
    target = f"/ingest?index={index_name}&ack={ack}"
    posts = [post(target, b'{"n":1}\n' * count) for count in range(1, 9)]
    with RawClient(service.url) as client:
        client.send(b"".join(posts), piece_bytes=piece_bytes)
        received = [client.read_answer().json["received"] for _ in posts]
    assert received == list(range(1, 9))


def test_connection_is_kept_for_the_next_post(service: Service, index_name: str) -> None:
    with RawClient(service.url) as client:
        for count in range(1, 4):
            client.send(post(f"/ingest?index={index_name}", b'{"n":1}\n' * count))
            answer = client.read_answer()
            assert (answer.status, answer.json["received"]) == (202, count)
            assert "connection" not in answer.headers


OK, NOT_HERE, NOT_FOUND = 202, 405, 404
CHUNKED = chunked_head("/ingest") + chunks([b'{"n":1}\n'])
FLAWED = post("/ingest", b"{\n")
ELSEWHERE = post("/elsewhere", b'{"n":1}\n')
CHUNKED_ELSEWHERE = chunked_head("/elsewhere") + chunks([b'{"n":1}\n'])
CONVERSATIONS: dict[str, list[tuple[bytes, int]]] = {
    "get_then_post": [(GET, NOT_HERE), (GOOD, OK)],
    "post_then_get": [(GOOD, OK), (GET, NOT_HERE)],
    "put_then_post": [(PUT, NOT_HERE), (GOOD, OK)],
    "elsewhere_then_post": [(ELSEWHERE, NOT_FOUND), (GOOD, OK), (ELSEWHERE, NOT_FOUND), (GOOD, OK)],
    "flawed_then_post": [(FLAWED, 400), (GOOD, OK)],
    "damaged_then_post": [(DAMAGED, 400), (GOOD, OK)],
    "other_type_then_post": [(ANOTHER_TYPE, 415), (GOOD, OK)],
    "broken_array_then_post": [(BROKEN_ARRAY, 400), (GOOD, OK)],
    "unknown_route_then_post": [(post("/ingest/unknown", b"{}\n"), NOT_FOUND), (GOOD, OK)],
    "chunked_then_post": [(CHUNKED, OK), (GOOD, OK), (CHUNKED, OK), (CHUNKED, OK)],
    "chunked_then_get": [(CHUNKED, OK), (GET, NOT_HERE), (CHUNKED, OK)],
    "line_break_before_post": [(GOOD, OK), (b"\r\n" + GOOD, OK)],
}
REFUSED_EARLY = {"other_type_then_post", "unknown_route_then_post", "damaged_then_post"}
IN_PIECES = [name for name in CONVERSATIONS if name not in REFUSED_EARLY]  # else they are closed
each_conversation = pytest.mark.parametrize(
    ("name", "piece_bytes"),
    [(name, None) for name in CONVERSATIONS] + [(name, n) for name in IN_PIECES for n in (1, 50)],
)


@each_conversation
def test_connection_serves_mixed_requests_one_after_the_other(
    name: str, piece_bytes: int | None, service: Service
) -> None:
    conversation = CONVERSATIONS[name]
    with RawClient(service.url) as client:
        statuses = []
        for content, _ in conversation:
            client.send(content, piece_bytes=piece_bytes)
            statuses.append(client.read_answer().status)
    assert statuses == [status for _, status in conversation]


@each_conversation
def test_connection_serves_mixed_requests_pipelined(
    name: str, piece_bytes: int | None, service: Service
) -> None:
    conversation = CONVERSATIONS[name]
    with RawClient(service.url) as client:
        client.send(b"".join(content for content, _ in conversation), piece_bytes=piece_bytes)
        statuses = [client.read_answer().status for _ in conversation]
    assert statuses == [status for _, status in conversation]


def test_chunked_body_elsewhere_is_answered(service: Service) -> None:
    with RawClient(service.url) as client:
        client.send(CHUNKED_ELSEWHERE)
        assert client.read_answer().status == NOT_FOUND


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (post("/ingest", b'{"n":1}\n', {"connection": "close"}), 202),
        (request("POST", "/ingest", b"{}\n", {"content-type": NDJSON}, version="1.0"), 202),
        (request("GET", "/ingest", headers={"connection": "close"}), 405),
    ],
    ids=["asked_for", "http_1_0", "get"],
)
def test_connection_is_closed_after_the_answer_when_asked(
    content: bytes, status: int, service: Service
) -> None:
    with RawClient(service.url) as client:
        client.send(content)
        answer = client.read_answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert client.is_ended()


@pytest.mark.parametrize(
    "content",
    [post("/ingest?ack=indexed", b"{}\n"), CHUNKED, GET],
    ids=["indexed", "chunked", "get"],
)
def test_half_closed_connection_is_answered(content: bytes, service: Service) -> None:
    with RawClient(service.url) as client:
        client.send(content)
        client.end_sending()
        assert client.read_answer().status in (200, 202, 405)


@pytest.mark.parametrize(
    ("target", "status"),
    [("http://test/ingest", 202), ("/ing%65st", 202), ("/ingest/", 202), ("//test/ingest", 404)],
    ids=["absolute", "percent_encoded", "slash_at_the_end", "two_slashes"],
)
def test_target_may_be_spelled_in_other_ways(
    target: str, status: int, service: Service, index_name: str
) -> None:
    with RawClient(service.url) as client:
        client.send(post(f"{target}?index={index_name}", b"{}\n"))
        assert client.read_answer().status == status

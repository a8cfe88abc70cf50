"""The oracle: documents with a number each, and where these are found in the end."""

from collections import Counter

from tests.fakes import ScriptedElasticsearch
from tests.http_client import RawClient, post
from tests.numbered import indexed, lines
from tests.service import Service, is_balanced

REQUEST_TIMEOUT_S = 1.0
ACK_TIMEOUT_S = 1.0
SENT = 60


def dead(service: Service, index: str) -> Counter[int]:
    letters = [letter for letter in service.dead_letters() if letter["target"] == index]
    return Counter(letter["document"]["n"] for letter in letters)


def assert_each_once(service: Service, es: ScriptedElasticsearch, index: str, count: int) -> None:
    """Each of the numbers below `count` is indexed or a dead letter, and nothing is twice."""
    assert is_balanced(service.wait_until_settled())
    found = indexed(es, index) + dead(service, index)
    assert found == Counter(range(count))


def post_in_parts(service: Service, index: str, part: int = 10, ack: str = "memory") -> None:
    """Several posts on one connection, so that a batch holds chunks of several requests."""
    body = lines(range(SENT)).splitlines(keepends=True)
    target = f"/ingest?index={index}&ack={ack}"
    with RawClient(service.url) as client:
        for start in range(0, len(body), part):
            client.send(post(target, b"".join(body[start : start + part])))
            assert client.read_answer().status == 202

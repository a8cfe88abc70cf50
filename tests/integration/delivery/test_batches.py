"""Documents of many posts and senders share bulk requests, and none is lost between them."""

import threading
from collections import Counter

from tests.fakes import ScriptedElasticsearch
from tests.http_client import RawClient, post
from tests.integration.delivery.rig import assert_each_once
from tests.numbered import indexed
from tests.service import Service


def test_many_small_posts_share_bulk_requests(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    before = len(es.bulk_requests)
    with RawClient(service.url) as client:
        client.send(
            b"".join(post(f"/ingest?index={index_name}", b'{"n":%d}' % n) for n in range(100))
        )
        for _ in range(100):
            assert client.read_answer().status == 202
    assert_each_once(service, es, index_name, 100)
    assert len(es.bulk_requests) - before <= 20


def test_senders_at_the_same_time_are_all_served(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    statuses: list[int] = []

    def send(first: int) -> None:
        for n in range(first, first + 20):
            answer = service.post(b'{"n":%d}' % n, index=index_name, ack="indexed")
            statuses.append(answer.status)

    threads = [threading.Thread(target=send, args=(first,)) for first in range(0, 160, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(statuses) == {200: 160}
    assert indexed(es, index_name) == Counter(range(160))

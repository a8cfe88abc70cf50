"""Whatever Elasticsearch does: each accepted document is in it exactly once, or a dead letter.

The oracle knows nothing of the service: each document carries a number, and the scripted
Elasticsearch and the dead letters' files are searched for them.
"""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import orjson
import pytest

from tests.fakes import (
    FOREVER,
    Item,
    Operation,
    ScriptedElasticsearch,
    Step,
    answer_items,
    breaker_tripped,
    flood_stage,
    forbidden,
    refuse,
    rejected,
    reset,
    slow,
    unavailable_shards,
    unparsable,
    write_blocked,
)
from tests.http_client import RawClient, chunk, chunked_head, post
from tests.service import Service, is_balanced

REQUEST_TIMEOUT_S = 1.0
ACK_TIMEOUT_S = 1.0
SENT = 60


@pytest.fixture(scope="module")
def running_es() -> Iterator[ScriptedElasticsearch]:
    with ScriptedElasticsearch() as node:
        yield node


@pytest.fixture(scope="module")
def running(
    running_es: ScriptedElasticsearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with Service(
        tmp_path_factory.mktemp("data"),
        running_es.url,
        environment={"INGEST_ELASTICSEARCH__REQUEST_TIMEOUT_S": str(REQUEST_TIMEOUT_S)},
        ack="memory",
        flush_interval_s=0.1,
        flush_documents=25,
        max_in_flight=3,
        backoff_initial_s=0.01,
        backoff_max_s=0.05,
        ack_timeout_s=ACK_TIMEOUT_S,
    ) as service:
        yield service


@pytest.fixture
def es(running_es: ScriptedElasticsearch) -> Iterator[ScriptedElasticsearch]:
    yield running_es
    running_es.clear_script()
    running_es.set_default(Step())


@pytest.fixture
def service(running: Service, es: ScriptedElasticsearch) -> Iterator[Service]:
    yield running
    es.resume()
    es.clear_script()
    assert is_balanced(running.wait_until_settled())


def lines(count: int = SENT) -> bytes:
    return b"".join(b'{"n":%d}\n' % n for n in range(count))


def numbers_in(sources: list[bytes]) -> Counter[int]:
    return Counter(orjson.loads(source)["n"] for source in sources)


def indexed(es: ScriptedElasticsearch, index: str) -> Counter[int]:
    """How often each number was written."""
    return numbers_in([document.source for document in es.documents(index)])


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
    body = lines().splitlines(keepends=True)
    target = f"/ingest?index={index}&ack={ack}"
    with RawClient(service.url) as client:
        for start in range(0, len(body), part):
            client.send(post(target, b"".join(body[start : start + part])))
            assert client.read_answer().status == 202


# faults of whole requests

JSON_HEADERS = {"x-elastic-product": "Elasticsearch", "content-type": "application/json"}
NOT_ELASTICSEARCH = Step(status=200, body=b"{}", headers={"content-type": "application/json"})
EMPTY = Step(status=200, body=b"", headers=JSON_HEADERS)
NO_ITEMS = Step(status=200, body=b'{"errors":false}', headers=JSON_HEADERS)
FAULTS: dict[str, list[Step]] = {
    "healthy": [],
    "429": [refuse(429, times=3)],
    "401_for_a_while": [refuse(401, times=2)],
    "403_for_a_while": [refuse(403, times=2)],
    "404_of_a_proxy": [refuse(404, times=2)],
    "500": [refuse(500, times=2)],
    "502_html": [refuse(502, times=2)],
    "503_html": [refuse(503, times=3)],
    "503_but_indexed": [refuse(503, is_applied=True), refuse(503, is_applied=True)],
    "504_but_indexed": [refuse(504, is_applied=True)],
    "413": [refuse(413, times=4)],
    "413_in_turn_with_429": [refuse(413), refuse(429), refuse(413), refuse(429), refuse(413)],
    "400_once": [refuse(400)],
    "reset_before": [reset("before_body", times=3)],
    "reset_during_body": [reset("during_body", times=3)],
    "reset_after": [reset("after_body", times=3)],
    "reset_during_answer": [reset("during_answer", times=2)],
    "cut_answer": [Step(is_cut=True, times=2)],
    "items_short": [Step(items_delta=-1, times=2)],
    "items_long": [Step(items_delta=1, times=2)],
    "no_items": [NO_ITEMS],
    "empty_answer": [EMPTY],
    "not_elasticsearch": [NOT_ELASTICSEARCH],
    "gzip_answers": [Step(gzip=True, times=FOREVER)],
    "gzip_cut": [Step(gzip=True, is_cut=True, times=2)],
    "slow_in_the_middle": [Step(delay_middle_s=0.3, times=2)],
    "slower_than_the_timeout": [slow(REQUEST_TIMEOUT_S + 0.5)],
    "slow_reader": [Step(delay_reading_s=REQUEST_TIMEOUT_S + 0.5)],
    "one_after_the_other": [
        *(reset("after_body"), refuse(429), Step(is_cut=True), refuse(503), refuse(413)),
        *(Step(items_delta=-3), reset("before_body"), Step(gzip=True), refuse(502)),
    ],
}


@pytest.mark.parametrize("steps", FAULTS.values(), ids=list(FAULTS))
@pytest.mark.parametrize("ack", ["memory", "durable"])
def test_everything_is_delivered_once_despite_faults(
    ack: str, steps: list[Step], service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(*steps)
    post_in_parts(service, index_name, ack=ack)
    assert_each_once(service, es, index_name, SENT)
    assert dead(service, index_name) == Counter()


def test_endless_400_for_whole_requests_ends_in_dead_letters(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(refuse(400, times=FOREVER))
    post_in_parts(service, index_name)
    assert_each_once(service, es, index_name, SENT)
    assert dead(service, index_name) == Counter(range(SENT))


def test_thousands_of_refused_documents_are_a_few_log_lines(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    said = service.said.count("refused documents")
    es.set_default(Step(items=lambda position, operation, source: unparsable()))
    for _ in range(30):
        assert service.post(lines(100), index=index_name, ack="indexed").status == 200
    assert len([each for each in service.dead_letters() if each["target"] == index_name]) == 3000
    assert service.said.count("refused documents") - said <= 3


def test_request_that_is_too_large_is_halved_until_it_fits(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(refuse(413, times=4))
    assert service.post(lines(20), index=index_name).status == 202
    assert_each_once(service, es, index_name, 20)
    assert dead(service, index_name) == Counter()


def test_stopped_elasticsearch_gets_everything_when_it_is_back(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.stop()
    try:
        post_in_parts(service, index_name)
        assert service.get("/readyz").status == 200
        assert service.documents()["in_memory"] == SENT
    finally:
        es.start()
    assert_each_once(service, es, index_name, SENT)


# faults of items


@dataclass(frozen=True)
class Fault:
    """What is answered for a document at its first attempt."""

    id: str
    item: Item
    is_again: bool = False
    is_dead: bool = False


def faults_for(index: str) -> list[Fault]:
    return [
        Fault("created", Item(201)),
        Fault("queue_full", rejected(), is_again=True),
        Fault("breaker", breaker_tripped(), is_again=True),
        Fault("flood_stage", flood_stage(index), is_again=True),
        Fault("unparsable", unparsable(), is_dead=True),
        Fault("write_block", write_blocked(index), is_again=True),
        Fault("forbidden", forbidden(index), is_again=True),
        Fault(
            "no_such_index",
            Item(404, {"type": "index_not_found_exception", "reason": "no such index"}),
            is_again=True,
        ),
        Fault("no_shard", unavailable_shards(index), is_again=True),
        Fault("stored_though_503", replace(unavailable_shards(index), is_stored=True), True),
        Fault(
            "conflict",
            Item(409, {"type": "version_conflict_engine_exception", "reason": ""}, is_stored=True),
        ),
    ]


def scripted(index: str) -> Step:
    """Each document gets the fault of its number, over and over again."""
    faults = faults_for(index)

    def item(position: int, operation: Operation, source: bytes) -> Item | None:
        fault = faults[orjson.loads(source)["n"] % len(faults)]
        return None if fault.id == "created" else fault.item

    return answer_items(item)


def test_only_what_failed_is_sent_again(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    faults = faults_for(index_name)
    count = 2 * len(faults)  # less than flush_documents: one bulk request
    es.script(scripted(index_name))
    before = len(es.bulk_requests)
    assert service.post(lines(count), index=index_name).status == 202
    assert_each_once(service, es, index_name, count)
    first, second = (numbers_in(request.sources) for request in es.bulk_requests[before:])
    assert first == Counter(range(count))
    again = [n for n in range(count) if faults[n % len(faults)].is_again]
    assert second == Counter(again)
    expected_dead = [n for n in range(count) if faults[n % len(faults)].is_dead]
    assert dead(service, index_name) == Counter(expected_dead)


@pytest.mark.parametrize("times", [1, 3, 6])
def test_failing_items_in_many_batches_are_delivered_once(
    times: int, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(*itertools.repeat(scripted(index_name), times))
    post_in_parts(service, index_name, part=7)
    assert_each_once(service, es, index_name, SENT)


def test_dead_letter_keeps_the_document_as_it_was_sent(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    document = b'{"n":1, "big":18446744073709551616,"e":1e5, "z":0, "a":"\\u00e4"}'
    es.script(answer_items({0: unparsable("does not fit")}))
    assert service.post(document + b"\n", index=index_name, ack="indexed").status == 200
    files = (service.data_dir / "dead-letters").glob("*.ndjson")
    written = [line for file in files for line in file.read_bytes().splitlines()]
    (line,) = (line for line in written if index_name.encode() in line)
    assert document in line
    letter = orjson.loads(line)
    assert (letter["target"], letter["action"], letter["status"]) == (index_name, "create", 400)
    assert letter["error"] == {"type": "document_parsing_exception", "reason": "does not fit"}
    assert letter["attempts"] == 1


def test_documents_counts_follow_their_outcomes(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    before = service.documents()
    conflict = Item(409, {"type": "version_conflict_engine_exception"}, is_stored=True)
    es.script(answer_items({0: unparsable(), 1: conflict, 2: rejected()}))
    answer = service.post(lines(5) + b"x\n", index=index_name, ack="indexed")
    after = service.wait_until_settled()
    changes = {term: after[term] - before[term] for term in after if after[term] != before[term]}
    outcomes = {"rejected": 1, "dead_letter": 1, "duplicate": 1, "indexed": 3}
    assert changes == {"received": 6, **outcomes}
    assert [item["position"] for item in answer.json["items"]] == [0, 5]


# batches


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


# the answer to `ack=indexed`


def test_indexed_answer_waits_for_repeats(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(refuse(503, times=3), answer_items({1: rejected(), 2: unparsable()}))
    answer = service.post(lines(4), index=index_name, ack="indexed")
    assert (answer.status, answer.json["received"]) == (200, 4)
    assert [(item["position"], item["status"]) for item in answer.json["items"]] == [(2, 400)]
    assert indexed(es, index_name) == Counter([0, 1, 3])


def test_indexed_answer_that_takes_too_long_is_pending_and_delivery_goes_on(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(Step(), refuse(429, times=FOREVER))
    body = lines(30).splitlines(keepends=True)
    with RawClient(service.url) as client:
        client.send(chunked_head(f"/ingest?index={index_name}&ack=indexed"))
        client.send(chunk(b"".join(body[:20])))
        es.wait_until(lambda: indexed(es, index_name) == Counter(range(20)))
        client.send(chunk(b"".join(body[20:]) + b"x\n") + chunk(b""))
        answer = client.read_answer()
        client.send(post(f"/ingest?index={index_name}-2", b"{}\n"))
        assert client.read_answer().status == 202
    content = answer.json
    assert (answer.status, content["status"], content["error"]["type"]) == (503, 503, "unavailable")
    assert (content["received"], content["rejected"]) == (31, 1)
    assert content["pending"] == 10
    assert int(answer.headers["retry-after"]) >= 1
    es.clear_script()
    assert_each_once(service, es, index_name, 30)


def test_sender_that_leaves_before_the_indexed_answer_loses_nothing(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.pause()
    with RawClient(service.url) as client:
        client.send(post(f"/ingest?index={index_name}&ack=indexed", lines(5)))
        service.wait_until(lambda: service.documents()["in_memory"] == 5)
    es.resume()
    assert_each_once(service, es, index_name, 5)


def test_documents_of_an_unfinished_body_are_delivered(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    with RawClient(service.url) as client:
        client.send(chunked_head(f"/ingest?index={index_name}") + chunk(lines(5) + b'{"n":'))
        es.wait_until(lambda: indexed(es, index_name) == Counter(range(5)))
    assert_each_once(service, es, index_name, 5)

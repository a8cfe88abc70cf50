"""The scripted Elasticsearch keeps what arrived and tells it."""

import gzip
import threading
from collections.abc import Callable

import pytest

from tests.bulk_lines import bulk_line, creates
from tests.fakes import ScriptedElasticsearch, slow
from tests.node_answers import bulk, send_raw, statuses


@pytest.fixture(name="es")
def _es(scripted_elasticsearch: ScriptedElasticsearch) -> ScriptedElasticsearch:
    return scripted_elasticsearch


def test_documents_are_kept_in_order_of_arrival(es: ScriptedElasticsearch) -> None:
    bulk(es.url, bulk_line("create", "a", "1", '{"n": 1}') + bulk_line("create", "b", "2"))
    bulk(es.url, bulk_line("index", "a", "1", '{"n": 2}') + bulk_line("create", "a", "1"))
    assert [(each.index, each.id, each.source) for each in es.documents()] == [
        ("a", "1", b'{"n": 1}'),
        ("b", "2", b'{"a":1}'),
        ("a", "1", b'{"n": 2}'),
    ]
    assert [each.action for each in es.documents("a")] == ["create", "index"]
    assert es.sources("a") == {"1": b'{"n": 2}'}
    assert es.sources("none") == {}


def test_requests_are_kept_with_headers_and_body(es: ScriptedElasticsearch) -> None:
    packed = gzip.compress(creates(1, 2).encode())
    bulk(es.url, packed, headers={"content-encoding": "gzip", "X-Opaque-Id": "7"})
    (request,) = es.bulk_requests
    assert request.headers["x-opaque-id"] == "7"
    assert (request.body, request.wire_bytes) == (creates(1, 2).encode(), len(packed))
    assert (request.ids, request.sources) == (["1", "2"], [b'{"a":1}', b'{"a":1}'])
    assert request.status == 200


def test_chunked_body_is_read_after_continue(es: ScriptedElasticsearch) -> None:
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in creates(1).encode()) + b"0\r\n\r\n"
    head = "transfer-encoding: chunked\r\nexpect: 100-continue\r\ncontent-type: application/json"
    answer, is_open = send_raw(es.url, head, chunks)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert is_open
    assert es.wait_for_documents(1)[0].id == "1"


def test_configured_names_are_data_streams() -> None:
    with ScriptedElasticsearch(data_streams=("logs-*-*",)) as es:
        lines = bulk_line("create", "logs-a-b", "1") + bulk_line("index", "logs-a-b", "2")
        assert statuses(bulk(es.url, lines + bulk_line("index", "other", "3"))) == [400, 400, 201]


def test_requests_are_served_side_by_side(es: ScriptedElasticsearch) -> None:
    es.script(slow(60))
    with pytest.raises(TimeoutError):
        bulk(es.url, creates(1), timeout_s=0.1)
    threads = [threading.Thread(target=bulk, args=(es.url, creates(n))) for n in range(2, 10)]
    for thread in threads:
        thread.start()
    assert len(es.wait_for_documents(9)) == 9
    for thread in threads:
        thread.join()


def test_what_is_stored_can_be_read_while_more_arrives(es: ScriptedElasticsearch) -> None:
    count = 5000
    thread = threading.Thread(target=bulk, args=(es.url, creates(*range(count))))
    thread.start()
    seen = [0]
    while thread.is_alive():
        seen.append(len(es.sources("logs")))
    assert seen == sorted(seen)
    assert len(es.sources("logs")) == count


@pytest.mark.parametrize(
    "wait",
    [
        lambda es: es.wait_for_documents(2, timeout_s=0.05),
        lambda es: es.wait_for_bulk_requests(2, timeout_s=0.05),
    ],
    ids=["documents", "bulk requests"],
)
def test_waiting_in_vain_says_what_arrived(
    wait: Callable[[ScriptedElasticsearch], object], es: ScriptedElasticsearch
) -> None:
    bulk(es.url, creates(1))
    with pytest.raises(TimeoutError, match="1 bulk requests and 1 documents arrived"):
        wait(es)

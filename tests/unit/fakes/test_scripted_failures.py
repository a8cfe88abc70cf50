"""The scripted Elasticsearch fails as it is told, and indexes what a failing node would have."""

import contextlib
import http.client
import json
from urllib.parse import urlsplit

import elasticsearch
import pytest

from tests.bulk_lines import creates
from tests.fakes import (
    FOREVER,
    Item,
    Moment,
    Operation,
    ScriptedElasticsearch,
    Step,
    answer_items,
    failure_store_used,
    flood_stage,
    refuse,
    rejected,
    reset,
    slow,
    write_blocked,
)
from tests.node_answers import NDJSON, bulk, send, statuses

ONE_CREATE: list[dict[str, object]] = [{"create": {"_index": "logs", "_id": "1"}}, {"a": 1}]


@pytest.fixture(name="es")
def _es(scripted_elasticsearch: ScriptedElasticsearch) -> ScriptedElasticsearch:
    return scripted_elasticsearch


def ids(es: ScriptedElasticsearch) -> list[str]:
    return [document.id for document in es.documents()]


def test_steps_are_taken_in_order_and_then_the_default(es: ScriptedElasticsearch) -> None:
    es.set_default(refuse(401))
    es.script(refuse(429, times=2), refuse(503))
    assert [bulk_status(es) for _ in range(5)] == [429, 429, 503, 401, 401]
    es.set_default(Step())
    assert bulk_status(es) == 200


def test_endless_step_ends_when_the_script_is_cleared(es: ScriptedElasticsearch) -> None:
    es.script(refuse(403, times=FOREVER))
    assert [bulk_status(es) for _ in range(3)] == [403, 403, 403]
    es.clear_script()
    assert bulk_status(es) == 200


def bulk_status(es: ScriptedElasticsearch) -> int:
    """Of a small bulk request, by the official client, which checks headers and body."""
    client = elasticsearch.Elasticsearch(es.url, max_retries=0)
    try:
        return client.bulk(operations=ONE_CREATE).meta.status
    except elasticsearch.ApiError as error:
        return error.status_code
    finally:
        client.close()


@pytest.mark.parametrize("status", [400, 401, 403, 413, 429, 502, 503])
def test_refused_request_indexes_nothing(status: int, es: ScriptedElasticsearch) -> None:
    es.script(refuse(status))
    assert bulk_status(es) == status
    assert es.documents() == []
    assert (es.bulk_requests[0].ids, es.bulk_requests[0].status) == (["1"], status)


def test_refused_request_may_have_been_indexed(es: ScriptedElasticsearch) -> None:
    es.script(refuse(503, is_applied=True))
    assert bulk_status(es) == 503
    assert ids(es) == ["1"]


def scripted_by_function(position: int, operation: Operation, source: bytes) -> Item | None:
    return rejected() if operation.id == "2" and source == b'{"a":1}' and position == 1 else None


@pytest.mark.parametrize(
    "step",
    [answer_items({1: rejected()}), answer_items(scripted_by_function)],
    ids=["by position", "by function"],
)
def test_scripted_item_fails_and_the_others_are_indexed(
    step: Step, es: ScriptedElasticsearch
) -> None:
    es.script(step)
    answered = bulk(es.url, creates(1, 2, 3))
    assert statuses(answered) == [201, 429, 201]
    assert answered.body["errors"]
    assert ids(es) == ["1", "3"]
    assert statuses(bulk(es.url, creates(2, 3))) == [201, 409]


def test_failed_item_may_have_been_indexed(es: ScriptedElasticsearch) -> None:
    es.script(answer_items({0: Item(503, {"type": "unavailable"}, is_stored=True)}))
    assert statuses(bulk(es.url, creates(1))) == [503]
    assert statuses(bulk(es.url, creates(1))) == [409]


@pytest.mark.parametrize(
    ("item", "status", "error_type"),
    [
        (write_blocked("logs"), 403, "cluster_block_exception"),
        (flood_stage("logs"), 429, "cluster_block_exception"),
        (rejected(), 429, "es_rejected_execution_exception"),
    ],
    ids=["write block", "flood stage", "full queue"],
)
def test_item_errors_have_the_types_of_a_node(
    item: Item, status: int, error_type: str, es: ScriptedElasticsearch
) -> None:
    es.script(answer_items({0: item}))
    entry = bulk(es.url, creates(1)).body["items"][0]["create"]
    assert (entry["status"], entry["error"]["type"]) == (status, error_type)


def test_failure_store_looks_like_a_success_and_indexes_nothing(es: ScriptedElasticsearch) -> None:
    es.script(answer_items({0: failure_store_used()}))
    answered = bulk(es.url, creates(1))
    entry = answered.body["items"][0]["create"]
    assert (answered.body["errors"], entry["status"], entry["failure_store"]) == (
        False,
        201,
        "used",
    )
    assert es.documents() == []


@pytest.mark.parametrize(
    ("moment", "indexed"),
    [("before_body", []), ("during_body", []), ("after_body", ["1"]), ("during_answer", ["1"])],
)
def test_reset_breaks_the_connection_and_indexes_what_was_read(
    moment: Moment, indexed: list[str], es: ScriptedElasticsearch
) -> None:
    es.script(reset(moment))
    client = elasticsearch.Elasticsearch(es.url, max_retries=0)
    with pytest.raises(elasticsearch.ConnectionError):
        client.bulk(operations=ONE_CREATE)
    client.close()
    es.wait_for_bulk_requests(1)
    assert ids(es) == indexed
    assert statuses(bulk(es.url, creates(2))) == [201]


def test_cut_answer_is_no_json(es: ScriptedElasticsearch) -> None:
    es.script(Step(is_cut=True))
    with pytest.raises(json.JSONDecodeError):
        bulk(es.url, creates(1))
    assert ids(es) == ["1"]


@pytest.mark.parametrize(("delta", "expected"), [(-2, [201]), (2, [201] * 5)])
def test_items_can_be_too_few_or_too_many(
    delta: int, expected: list[int], es: ScriptedElasticsearch
) -> None:
    es.script(Step(items_delta=delta))
    assert statuses(bulk(es.url, creates(1, 2, 3))) == expected
    assert ids(es) == ["1", "2", "3"]


def test_gzip_answer_without_being_asked(es: ScriptedElasticsearch) -> None:
    es.script(Step(gzip=True))
    answered = bulk(es.url, creates(1))
    assert answered.headers["content-encoding"] == "gzip"
    assert statuses(answered) == [201]


@pytest.mark.parametrize(
    "step", [slow(2), Step(delay_reading_s=2), Step(delay_middle_s=2)], ids=["late", "idle", "half"]
)
def test_client_times_out_on_a_delay(step: Step, es: ScriptedElasticsearch) -> None:
    es.script(step)
    with pytest.raises(TimeoutError):
        bulk(es.url, creates(1), timeout_s=0.1)


def test_late_answer_was_indexed_at_once(es: ScriptedElasticsearch) -> None:
    es.script(slow(60))
    with pytest.raises(TimeoutError):
        bulk(es.url, creates(1), timeout_s=0.1)
    assert [document.id for document in es.wait_for_documents(1)] == ["1"]


def test_paused_node_answers_when_it_is_resumed(es: ScriptedElasticsearch) -> None:
    bulk(es.url, creates(1))
    es.pause()
    with pytest.raises(TimeoutError):
        bulk(es.url, creates(2), timeout_s=0.1)
    assert ids(es) == ["1"]
    es.resume()
    es.wait_for_documents(2)
    assert statuses(bulk(es.url, creates(3))) == [201]


def test_stopped_node_comes_back_on_its_port_with_its_documents(es: ScriptedElasticsearch) -> None:
    kept_open = http.client.HTTPConnection(urlsplit(es.url).netloc, timeout=10)
    assert send(kept_open, "POST", "/_bulk", creates(1), NDJSON).status == 200
    url = es.url
    es.stop()
    assert send(kept_open, "POST", "/_bulk", creates(2), NDJSON).status is None
    assert bulk(es.url, creates(2)).status is None
    es.start()
    assert es.url == url
    assert statuses(bulk(es.url, creates(1, 2))) == [409, 201]


def test_other_paths_have_their_own_script(es: ScriptedElasticsearch) -> None:
    es.script(refuse(503), path="/_cluster/health")
    connection = http.client.HTTPConnection(urlsplit(es.url).netloc, timeout=10)
    connection.request("GET", "/_cluster/health")
    response = connection.getresponse()
    assert (response.status, response.read()) == (503, b"<html><body><h1>503</h1></body></html>")
    assert send(connection, "GET", "/_cluster/health", "", {}).body["status"] == "green"
    assert send(connection, "GET", "/", "", {}).body["version"]["number"] == "8.19.21"
    connection.close()


def test_mistake_in_a_script_is_raised_at_the_end() -> None:
    def mistaken(position: int, operation: Operation, source: bytes) -> Item | None:
        raise LookupError(operation.id)

    running = contextlib.ExitStack()
    es = running.enter_context(ScriptedElasticsearch())
    es.script(answer_items(mistaken))
    assert bulk(es.url, creates(1)).status is None
    with pytest.raises(LookupError, match="1"):
        running.close()

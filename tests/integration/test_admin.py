"""The admin port: shapes that other tools rely on, and figures that agree with each other."""

import os
import signal
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_metrics

from tests.fakes import ScriptedElasticsearch, answer_items, unparsable
from tests.http_client import RawClient, head
from tests.service import NDJSON, Service, is_balanced

BODY = b'{"n":1}\n{"n":2}\nx\n{"n":3}\n'
FAMILIES = {
    "ingest_documents_received": "counter",
    "ingest_documents_recovered": "counter",
    "ingest_documents": "counter",
    "ingest_documents_lost": "counter",
    "ingest_documents_trimmed": "counter",
    "ingest_documents_in_memory": "gauge",
    "ingest_documents_spooled": "gauge",
    "ingest_received_bytes": "counter",
    "ingest_requests": "counter",
    "ingest_request_seconds": "histogram",
    "ingest_bulk_requests": "counter",
    "ingest_bulk_request_seconds": "histogram",
    "ingest_bulk_in_flight": "gauge",
    "ingest_buffers_free": "gauge",
    "ingest_pending_bytes": "gauge",
    "ingest_worker_heartbeat_age_seconds": "gauge",
    "ingest_worker_resident_bytes": "gauge",
}


@pytest.fixture(scope="module")
def es() -> Iterator[ScriptedElasticsearch]:
    with ScriptedElasticsearch(version="8.19.21") as node:
        yield node


@pytest.fixture(scope="module")
def service(
    es: ScriptedElasticsearch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """After a first request with each outcome but `lost`."""
    directory = tmp_path_factory.mktemp("data")
    with Service(directory, es.url, workers=2, flush_interval_s=0.02) as running:
        es.script(answer_items({1: unparsable()}))
        assert running.post(BODY, ack="indexed").status == 200
        yield running


def test_alive_and_ready(service: Service) -> None:
    for path in ("/livez", "/readyz"):
        answer = service.get(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")


def test_status_has_the_shape_of_the_contract(service: Service, es: ScriptedElasticsearch) -> None:
    service.wait_until(lambda: service.status()["elasticsearch"]["reachable"] is not None)
    status = service.status()
    assert status["version"] == version("ingest")
    assert status["documents"].keys() == {
        *("received", "recovered", "rejected", "indexed", "duplicate", "dead_letter", "lost"),
        *("in_memory", "spooled"),
    }
    assert len(status["workers"]) == 2
    for worker in status["workers"]:
        assert os.path.exists(f"/proc/{worker['pid']}")
        assert worker["heartbeat_age_s"] >= 0
        assert worker["resident_bytes"] > 10_000_000
        assert os.path.samefile(worker["data_dir"], service.data_dir)
    assert status["elasticsearch"] == {
        "hosts": [es.url],
        "reachable": True,
        "version": "8.19.21",
    }
    assert status["routes"] == []


def test_status_counts_each_document_by_its_outcome(service: Service) -> None:
    documents = service.wait_until_settled()
    assert is_balanced(documents)
    expected = {"received": 4, "rejected": 1, "indexed": 2, "dead_letter": 1}
    assert {term: count for term, count in documents.items() if count} == expected


def test_metrics_are_declared_with_type_and_sentence(service: Service) -> None:
    text = service.get("/metrics").body.decode()
    found = {family.name: family for family in read_metrics(text)}
    assert {name: found[name].type for name in FAMILIES} == FAMILIES
    assert all(family.documentation.endswith(".") for family in found.values())
    assert all(name.startswith("ingest_") for name in found)


def test_metrics_are_read_by_both_parsers(service: Service) -> None:
    accept = "application/openmetrics-text; version=1.0.0"
    answer = service.get("/metrics", {"accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    in_open_metrics = {
        family.name
        for family in read_open_metrics(answer.body.decode())  # type: ignore[no-untyped-call]
    }
    answer = service.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    in_text = {family.name for family in read_metrics(answer.body.decode())}
    assert in_open_metrics == in_text


def test_metrics_agree_with_status(service: Service) -> None:
    documents, metrics = service.wait_until_settled(), service.metrics()
    for outcome in ("indexed", "duplicate", "dead_letter", "rejected"):
        name = f'ingest_documents_total{{outcome="{outcome}"}}'
        assert metrics[name] == documents[outcome]
    lost = (
        metrics[f'ingest_documents_lost_total{{acked="{acked}"}}'] for acked in ("true", "false")
    )
    assert sum(lost) == documents["lost"]
    for term in ("received", "recovered"):
        assert metrics[f"ingest_documents_{term}_total"] == documents[term]
    for term in ("in_memory", "spooled"):
        assert metrics[f"ingest_documents_{term}"] == documents[term]
    assert metrics['ingest_dead_letters{type="document_parsing_exception"}'] == 1


def test_metrics_count_requests_bytes_and_times(service: Service) -> None:
    before = service.metrics()
    assert service.post(BODY, ack="indexed").status == 200
    assert service.post(b"{}\n", ack="memory").status == 202
    assert service.post(b"x", content_type="text/xml").status == 415
    after = service.metrics()

    def change(name: str) -> float:
        return after[name] - before[name]

    for status in ("200", "202", "415"):
        assert change(f'ingest_requests_total{{status="{status}"}}') == 1
    assert change("ingest_request_seconds_count") == 3
    assert change('ingest_request_seconds_bucket{le="+Inf"}') == 3
    assert change("ingest_request_seconds_sum") > 0
    assert len(BODY) + 3 <= change("ingest_received_bytes_total") <= len(BODY) + 4
    assert change("ingest_bulk_request_seconds_count") >= 1


def test_gauges_follow_what_goes_on(service: Service) -> None:
    total = service.metrics()["ingest_buffers_free"]
    with RawClient(service.url) as client:
        headers = {"content-type": NDJSON, "content-length": "1000"}
        client.send(head("POST", "/ingest", headers) + b" ")
        service.wait_until(lambda: service.metrics()["ingest_buffers_free"] == total - 1)
        service.wait_until(lambda: service.metrics()["ingest_connections"] == 1)
    service.wait_until(lambda: service.metrics()["ingest_buffers_free"] == total)
    service.wait_until(lambda: service.metrics()["ingest_connections"] == 0)


@pytest.mark.parametrize("path", ["/", "/ingest", "/unknown", "/status/x"])
def test_other_paths_are_not_found(path: str, service: Service) -> None:
    assert service.get(path).status in (404, 405)


def test_documents_are_not_taken_on_the_admin_port(service: Service) -> None:
    with RawClient(service.admin) as client:
        client.send(head("POST", "/ingest", {"content-length": "0"}))
        assert client.read_answer().status == 404


def test_figures_survive_a_worker(service: Service) -> None:
    """The last test of this file: it kills the service's workers."""
    before = service.metrics()
    for pid in service.worker_pids:
        os.kill(pid, signal.SIGKILL)
        service.wait_until(lambda pid=pid: pid not in service.worker_pids)  # type: ignore[misc]
    service.wait_until(lambda: len(service.worker_pids) == 2)
    after = service.metrics()
    counted = ("ingest_documents", "ingest_request", "ingest_bulk_request", "ingest_received")
    counters = [
        name
        for name in before
        if name.startswith(counted) and not name.startswith("ingest_documents_in_memory")
    ]
    counters += ["ingest_worker_restarts_total"]
    assert len(counters) > 50
    changed = {
        name: (before[name], after[name]) for name in counters if before[name] != after[name]
    }
    assert changed.keys() == {"ingest_worker_restarts_total"}
    assert after["ingest_worker_restarts_total"] == 2
    assert is_balanced(service.documents())

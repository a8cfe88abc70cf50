"""The scripted Elasticsearch answers as a real node once did; its failures are tested beside."""

import gzip
import http.client
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import elasticsearch
import pytest

from tests.bulk_lines import bulk_line as line
from tests.fakes import ScriptedElasticsearch
from tests.node_answers import JSON, NDJSON, masked, send, send_raw

CAPTURES = Path(__file__).parents[2] / "data" / "captures"
Json = dict[str, Any]
Request = tuple[str, str, Json]


@dataclass(frozen=True)
class Capture:
    """A captured answer with the bulk body that it answers."""

    file: str
    status: int
    body: str
    setup: tuple[Request, ...] = ()
    headers: dict[str, str] = field(default_factory=lambda: dict(NDJSON))


def no_replicas(index: str, **properties: Json) -> Request:
    settings = {"number_of_replicas": 0}
    return ("PUT", f"/{index}", {"settings": settings, "mappings": {"properties": properties}})


LOGS = {
    "index_patterns": ["logs-*-*"],
    "data_stream": {},
    "template": {"settings": {"number_of_replicas": 0}},
}
TIMESTAMP = '{"@timestamp":"2026-11-22T00:00:00Z"}'
LONG_ID = "i" * 513
BLOCKED = no_replicas("ro")

CAPTURED = [
    Capture("create-conflict", 200, line("create", "conf", "1") * 2),
    Capture(
        "id-513-bytes",
        400,
        line("index", "longid", "1") + line("index", "longid", LONG_ID) + line("index", "x", "3"),
    ),
    Capture("id-empty", 200, line("index", "longid", "") + line("index", "longid", "y")),
    Capture(
        "bad-json-doc",
        200,
        line("index", "longid", "j1")
        + line("index", "longid", "j2", '{"a":')
        + line("index", "longid", "j3"),
    ),
    Capture("bad-action", 400, line("index", "longid", "1") + '{"indx":{}}\n{}\n'),
    Capture("no-newline", 400, line("index", "longid", "1")[:-1]),
    Capture("empty-body", 400, ""),
    Capture(
        "bad-content-type",
        406,
        line("index", "x", "1"),
        headers={"content-type": "text/plain"},
    ),
    Capture(
        "bad-index-name",
        200,
        line("index", "Bad Name", "1") + line("index", "longid", "z"),
    ),
    Capture(
        "delete-update",
        200,
        line("delete", "longid", "nope")
        + line("update", "longid", "nope2", '{"doc":{"a":1}}')
        + line("update", "longid", "up", '{"doc":{"a":1},"doc_as_upsert":true}'),
    ),
    Capture(
        "write-block",
        200,
        line("index", "ro", "1"),
        setup=(BLOCKED, ("PUT", "/ro/_settings", {"index.blocks.write": True})),
    ),
    Capture(
        "flood-stage-block",
        200,
        line("index", "ro", "1"),
        setup=(BLOCKED, ("PUT", "/ro/_settings", {"index.blocks.read_only_allow_delete": True})),
    ),
    Capture(
        "data-stream",
        200,
        line("create", "logs-a-default", None, TIMESTAMP)
        + line("index", "logs-a-default", None, TIMESTAMP)
        + line("create", "logs-a-default", None, '{"message":"no time"}'),
        setup=(("PUT", "/_index_template/logs1", LOGS),),
    ),
    Capture(
        "immense-term",
        200,
        line("index", "kw", "1", '{"k":"ok"}')
        + line("index", "kw", "2", json.dumps({"k": "a" * 32_767}))
        + line("index", "kw", "3", '{"k":"ok"}'),
        setup=(no_replicas("kw", k={"type": "keyword"}),),
    ),
    Capture(
        "mapping-conflict",
        200,
        line("index", "dynl", "1", '{"n":1}') + line("index", "dynl", "2", '{"n":"abc"}'),
        setup=(("PUT", "/dynl", {"mappings": {"properties": {"n": {"type": "long"}}}}),),
    ),
]


@pytest.mark.parametrize("capture", CAPTURED, ids=lambda capture: capture.file)
def test_answers_as_captured(
    capture: Capture, scripted_elasticsearch: ScriptedElasticsearch
) -> None:
    es = scripted_elasticsearch
    connection = http.client.HTTPConnection(urlsplit(es.url).netloc, timeout=10)
    for method, path, body in capture.setup:
        assert send(connection, method, path, json.dumps(body), JSON).status == 200
    answered = send(connection, "POST", "/_bulk", capture.body, capture.headers)
    connection.close()
    captured = json.loads((CAPTURES / f"{capture.file}.json").read_bytes())
    assert answered.status == capture.status
    assert without_sequences(answered.body) == without_sequences(masked(captured))


def without_sequences(answer: Json) -> Any:
    """The captured indices had seen other documents before; the long preview was shortened."""
    text = json.dumps(answer).replace("a" * 32_767, "<32767 x a>")
    entries: Any = json.loads(text)
    for item in entries.get("items", []):
        for entry in item.values():
            entry.pop("_seq_no", None)
    return entries


def test_missing_index_is_answered_as_captured(
    scripted_elasticsearch: ScriptedElasticsearch,
) -> None:
    es = scripted_elasticsearch
    connection = http.client.HTTPConnection(urlsplit(es.url).netloc, timeout=10)
    answered = send(connection, "GET", "/missing", "", {})
    connection.close()
    captured = json.loads((CAPTURES / "missing-index.json").read_bytes())
    assert (answered.status, answered.body) == (404, captured)


def test_template_is_given_back_as_captured(scripted_elasticsearch: ScriptedElasticsearch) -> None:
    client = elasticsearch.Elasticsearch(scripted_elasticsearch.url)
    client.cluster.put_component_template(name="ct1", template={})
    client.indices.put_index_template(
        name="it1", index_patterns=["dyn*"], composed_of=["ct1"], priority=200
    )
    captured = json.loads((CAPTURES / "template-read.json").read_bytes())
    assert client.indices.get_index_template(name="it1").body == captured
    assert not client.indices.exists_index_template(name="it2")
    client.close()


@pytest.mark.parametrize(
    ("head", "body", "file"),
    [
        ("content-length: 300", b"x" * 300, "too-large"),
        (
            "transfer-encoding: chunked",
            b"12c\r\n" + b"x" * 300 + b"\r\n0\r\n\r\n",
            "too-large-gzip",
        ),
        (
            "content-encoding: gzip\r\ncontent-length: {length}",
            gzip.compress(b"x" * 300),
            "too-large-gzip",
        ),
    ],
    ids=["content-length", "chunked", "gzip"],
)
def test_body_over_the_limit_is_answered_as_captured(head: str, body: bytes, file: str) -> None:
    captured, note = (CAPTURES / f"{file}.txt").read_text().split("<<")
    with ScriptedElasticsearch(max_content_bytes=200) as es:
        answer, is_open = send_raw(es.url, head.format(length=len(body)), body)
        assert es.wait_for_bulk_requests(1)[0].status == 413
    assert set(answer.decode().splitlines()) == set(captured.splitlines())
    assert is_open == note.startswith("connection kept open")

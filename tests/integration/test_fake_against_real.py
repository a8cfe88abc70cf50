"""The scripted Elasticsearch answers as real nodes do, apart from what `masked` hides."""

import gzip
import http.client
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.bulk_lines import bulk_line
from tests.fakes import ScriptedElasticsearch
from tests.node_answers import JSON, NDJSON, Answered, send

Json = dict[str, Any]
Request = tuple[str, str, Json | None]
SIDE_BY_SIDE = 16
FILTER = "filter_path=errors,took,items.*.status,items.*.error,items.*.failure_store"
STREAM_TEMPLATE = {
    "index_patterns": ["NAME-*"],
    "priority": 500,
    "data_stream": {},
    "template": {"settings": {"number_of_replicas": 0}},
}
COMPONENT = {
    "template": {
        "settings": {"index.refresh_interval": "30s", "index": {"codec": "best_compression"}},
        "mappings": {"properties": {"k": {"type": "keyword", "ignore_above": 8191}}},
    },
    "version": 3,
    "_meta": {"by": "test"},
}
COMPOSED = {
    "index_patterns": ["NAME-*"],
    "composed_of": ["NAME-c"],
    "priority": 400,
    "template": {"settings": {"number_of_replicas": 0}},
    "_meta": {"by": "test"},
}


@dataclass(frozen=True)
class Case:
    """A bulk request (if any) after other requests; `NAME` stands for a fresh index name."""

    id: str
    body: str | None
    query: str = ""
    headers: dict[str, str] = field(default_factory=lambda: dict(NDJSON))
    setup: tuple[Request, ...] = ()
    is_gzip: bool = False


def index(id: str | None = "1", source: str = '{"a":1}') -> str:
    return bulk_line("index", "NAME", id, source)


def create(id: str | None = "1", source: str = '{"a":1}') -> str:
    return bulk_line("create", "NAME", id, source)


def update(id: str, change: Json) -> str:
    return bulk_line("update", "NAME", id, json.dumps(change))


def delete(id: str) -> str:
    return bulk_line("delete", "NAME", id)


def in_stream(lines: str) -> str:
    return lines.replace('"NAME"', '"NAME-a"')


def mapped(**properties: Json) -> tuple[Request, ...]:
    return (("PUT", "/NAME", {"mappings": {"properties": properties}}),)


def blocked(block: str) -> tuple[Request, ...]:
    return (
        ("PUT", "/NAME", {"settings": {"number_of_replicas": 0}}),
        ("PUT", "/NAME/_settings", {f"index.blocks.{block}": True}),
    )


STREAM = (("PUT", "/_index_template/NAME", STREAM_TEMPLATE),)
TIMESTAMP = '{"@timestamp":"2026-01-01T00:00:00Z"}'
GOOD = index("good")
MIXED = create("1") + create("1") + index("2", '{"a":') + index("3") + create(None)

CASES = [
    Case("one created", create()),
    Case("id made by the node", create(None) + index(None)),
    Case("created then overwritten", index() + index()),
    Case("conflict on create", create() + create()),
    Case("conflict after two writes", index() + index() + create()),
    Case("created again after a delete", create() + delete("1") + create()),
    Case("delete of nothing", GOOD + delete("none")),
    Case("update of nothing", GOOD + update("none", {"doc": {"b": 1}})),
    Case("update with upsert", update("1", {"doc": {"b": 1}, "doc_as_upsert": True})),
    Case("update that changes", index() + update("1", {"doc": {"b": 1}})),
    Case("update that changes nothing", index() + update("1", {"doc": {"a": 1}})),
    Case("update that isn't JSON", GOOD + bulk_line("update", "NAME", "2", "nonsense")),
    Case("update of nothing by nothing", update("1", {})),
    Case("index from the path", '{"create":{"_id":"1"}}\n{}\n', query="/NAME"),
    Case("number as id", '{"create":{"_index":"NAME","_id":7}}\n{}\n'),
    Case("mixed success", MIXED),
    Case("mixed success, filtered", MIXED, FILTER),
    Case("all well, filtered", GOOD + index("2"), FILTER),
    Case("filter of whole items", MIXED, "filter_path=items.*._id,items.create"),
    Case("filter with a star in a name", MIXED, "filter_path=items.*.err*,t*k"),
    Case("filter that nothing passes", MIXED, "filter_path=nothing"),
    Case("filter that whole items fail", MIXED, "filter_path=items.*.error.type"),
    Case("refusal in spite of a filter", "{}", FILTER),
    Case(
        "text in a long field", GOOD + index("2", '{"n":"abc"}'), setup=mapped(n={"type": "long"})
    ),
    Case(
        "number in text in a long field", index("1", '{"n":"7"}'), setup=mapped(n={"type": "long"})
    ),
    Case(
        "immense term",
        GOOD + index("2", json.dumps({"k": "a" * 32_767})) + index("3"),
        setup=mapped(k={"type": "keyword"}),
    ),
    Case(
        "longest term",
        index("1", json.dumps({"k": "a" * 32_766})),
        setup=mapped(k={"type": "keyword"}),
    ),
    Case(
        "immense term in three-byte characters",
        index("1", json.dumps({"o": {"k": "€" * 10_923}}, ensure_ascii=False)),
        setup=mapped(o={"properties": {"k": {"type": "keyword"}}}),
    ),
    Case(
        "immense term in a multi-field",
        index("1", json.dumps({"t": ["a", "b" * 32_767]})),
        setup=mapped(t={"type": "text", "fields": {"raw": {"type": "keyword"}}}),
    ),
    Case(
        "ignored above",
        index("1", json.dumps({"k": "a" * 32_767})),
        setup=mapped(k={"type": "keyword", "ignore_above": 8191}),
    ),
    Case(
        "ignore_above counts characters",
        index("1", json.dumps({"k": "€" * 10_923}, ensure_ascii=False)),
        setup=mapped(k={"type": "keyword", "ignore_above": 10_923}),
    ),
    Case("cut document", GOOD + index("2", '{"a":') + index("3")),
    Case("document that isn't JSON", GOOD + index("2", "nonsense") + index("3")),
    Case("document that is an array", GOOD + index("2", "[1]")),
    Case("document that is a number", GOOD + index("2", "5")),
    Case("empty document line", GOOD + index("2", "")),
    Case("carriage return after the document", index("1", '{"a":1}\r')),
    Case("empty line between", GOOD + "\n" + index("2")),
    Case("unknown action", GOOD + '{"indx":{"_index":"NAME"}}\n{}\n'),
    Case("action that isn't JSON", GOOD + "nonsense\n{}\n"),
    Case("action that is cut", GOOD + '{"index":\n{}\n'),
    Case("action that is an array", GOOD + "[1]\n{}\n"),
    Case("empty action object", GOOD + "{}\n{}\n"),
    Case("action without an object", GOOD + '{"index":7}\n{}\n'),
    Case("unknown parameter", GOOD + '{"index":{"_index":"NAME","what":7}}\n{}\n'),
    Case("action that is text", '"index"\n{}\n'),
    Case("no index", GOOD + '{"index":{"_id":"1"}}\n{}\n'),
    Case("no id to delete", '{"delete":{"_index":"NAME"}}\n'),
    Case("missing document line", GOOD + '{"index":{"_index":"NAME"}}\n'),
    Case("missing last line break", GOOD + index("2")[:-1]),
    Case("empty body", ""),
    Case("nothing but a line break", "\n"),
    Case("id of 512 bytes", index("i" * 512)),
    Case("id of 513 bytes", GOOD + index("i" * 513) + index("3")),
    Case("id of 513 bytes in 171 characters", GOOD + index("€" * 171)),
    Case("two ids that are too long", index("i" * 513) + index("j" * 600)),
    Case("empty id", GOOD + index("") + index("3")),
    Case("content type text", GOOD, headers={"content-type": "text/plain"}),
    Case("no content type", GOOD, headers={}),
    Case("content type json", GOOD, headers={"content-type": "application/json"}),
    Case(
        "content type and answer of a client",
        GOOD,
        headers={
            "content-type": "application/vnd.elasticsearch+x-ndjson; compatible-with=8",
            "accept": "application/vnd.elasticsearch+json; compatible-with=8",
        },
    ),
    Case("gzip answer", GOOD, headers={**NDJSON, "accept-encoding": "gzip"}),
    Case("gzip body", MIXED, headers={**NDJSON, "content-encoding": "gzip"}, is_gzip=True),
    Case("damaged gzip body", GOOD, headers={**NDJSON, "content-encoding": "gzip"}),
    Case("space in the index name", GOOD + GOOD.replace("NAME", "a b")),
    Case("upper case in the index name", GOOD.replace("NAME", "Bad") + GOOD),
    Case("underscore before the index name", GOOD.replace("NAME", "_bad")),
    Case("hash in the index name", GOOD.replace("NAME", "a#b")),
    Case("colon in the index name", GOOD.replace("NAME", "a:b")),
    Case("dots for an index name", GOOD.replace("NAME", "..")),
    Case("index name over 255 bytes", GOOD.replace("NAME", "n" * 256)),
    Case("write block", GOOD + create("2"), setup=blocked("write")),
    Case("flood stage", GOOD + delete("2"), setup=blocked("read_only_allow_delete")),
    Case("block before the document is read", index("1", "nonsense"), setup=blocked("write")),
    Case("data stream made by a create", in_stream(create(None, TIMESTAMP)), setup=STREAM),
    Case("own id in a data stream", in_stream(create("1", TIMESTAMP) * 2), setup=STREAM),
    Case(
        "index action in a data stream",
        in_stream(create("1", TIMESTAMP) + index("2", TIMESTAMP) + index(None, TIMESTAMP)),
        setup=STREAM,
    ),
    Case("index action makes no data stream", in_stream(index("1", TIMESTAMP)), setup=STREAM),
    Case("no timestamp in a data stream", in_stream(create("1", '{"a":1}')), setup=STREAM),
    Case("delete in a data stream", in_stream(create("1", TIMESTAMP) + delete("1")), setup=STREAM),
    Case(
        "templates as they were put",
        None,
        setup=(
            ("PUT", "/_component_template/NAME-c", COMPONENT),
            ("GET", "/_component_template/NAME-c", None),
            ("PUT", "/_index_template/NAME", COMPOSED),
            ("GET", "/_index_template/NAME", None),
            ("GET", "/_index_template/NAME*", None),
            ("HEAD", "/_index_template/NAME", None),
            ("DELETE", "/_index_template/NAME", None),
            ("GET", "/_index_template/NAME", None),
        ),
    ),
    Case(
        "templates that are missing",
        None,
        setup=(
            ("GET", "/_component_template/NAME", None),
            ("HEAD", "/_component_template/NAME", None),
            ("DELETE", "/_component_template/NAME", None),
            ("GET", "/_index_template/NAME", None),
            ("DELETE", "/_index_template/NAME", None),
            ("PUT", "/_index_template/NAME", COMPOSED),
        ),
    ),
    Case(
        "index made by templates",
        index("1", json.dumps({"k": "a" * 32_767})).replace('"NAME"', '"NAME-1"'),
        setup=(
            ("PUT", "/_component_template/NAME-c", COMPONENT),
            ("PUT", "/_index_template/NAME", COMPOSED),
            ("PUT", "/NAME-1", {"mappings": {"properties": {"own": {"type": "keyword"}}}}),
            ("GET", "/NAME-1/_mapping", None),
        ),
    ),
    Case(
        "index twice, then none",
        None,
        setup=(
            ("PUT", "/NAME", {"settings": {"number_of_replicas": 0}}),
            ("PUT", "/NAME", {"settings": {"number_of_replicas": 0}}),
            ("GET", "/NAME/_count", None),
            ("DELETE", "/NAME", None),
            ("DELETE", "/NAME", None),
            ("GET", "/NAME/_mapping", None),
        ),
    ),
]


@dataclass(frozen=True)
class Asked:
    """A case, and what the node answers to it under this name."""

    name: str
    answers: Future[list[Answered]]


@pytest.fixture(
    scope="module", params=["elasticsearch_url", "elasticsearch_9_url"], ids=["8.19", "9.2"]
)
def asked(request: pytest.FixtureRequest) -> Iterator[dict[str, Asked]]:
    """All cases by their id, asked side by side: a node makes many indices about as fast as one."""
    url: str = request.getfixturevalue(request.param)
    names = {case.id: f"test-{uuid.uuid4().hex}" for case in CASES}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield {
            case.id: Asked(names[case.id], pool.submit(answers, url, case, names[case.id]))
            for case in CASES
        }


@pytest.fixture(scope="module")
def fake() -> Iterator[ScriptedElasticsearch]:
    with ScriptedElasticsearch() as es:
        yield es


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_scripted_elasticsearch_answers_as_a_real_node(
    case: Case, asked: dict[str, Asked], fake: ScriptedElasticsearch
) -> None:
    real = asked[case.id]
    assert answers(fake.url, case, real.name) == real.answers.result()


def answers(url: str, case: Case, name: str) -> list[Answered]:
    """The masked answers to the set-up requests and then to the bulk request."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        seen = [
            send(connection, method, path, json.dumps(body) if body else "", JSON)
            for method, path, body in renamed(case.setup, name)
        ]
        if case.body is None:
            return seen
        path = f"/{name}/_bulk" if case.query == "/NAME" else f"/_bulk?{case.query}"
        text = case.body.replace("NAME", name)
        body = gzip.compress(text.encode()) if case.is_gzip else text
        return [*seen, send(connection, "POST", path, body, case.headers)]
    finally:
        connection.close()


def renamed(setup: tuple[Request, ...], name: str) -> list[Request]:
    requests: list[Request] = json.loads(json.dumps(setup).replace("NAME", name))
    return requests

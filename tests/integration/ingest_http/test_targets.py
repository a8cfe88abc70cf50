"""The index or data stream that documents go to, and the timestamp that they get there."""

import re
from typing import Any

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.integration.ingest_http.rig import stored
from tests.service import Service

DEFAULT_TARGET = "logs-generic-default"


@pytest.mark.parametrize(
    ("document", "query", "target"),
    [
        (b'{"n":1}', {}, DEFAULT_TARGET),
        (b'{"data_stream":{"dataset":"web"}}', {}, "logs-web-default"),
        (
            b'{"data_stream":{"type":"metrics","dataset":"disk","namespace":"prod"}}',
            {},
            "metrics-disk-prod",
        ),
        (b'{"data_stream.dataset":"dotted"}', {}, "logs-dotted-default"),
        (b'{"data_stream":{"dataset":"web"}}', {"index": "chosen"}, "chosen"),
    ],
    ids=["default", "dataset", "all_three", "dotted", "query_wins"],
)
def test_document_goes_to_its_target(
    document: bytes,
    query: dict[str, Any],
    target: str,
    service: Service,
    es: ScriptedElasticsearch,
) -> None:
    service.wait_until_settled()
    before = len(es.documents(target))
    assert service.post(document, ack="indexed", **query).status == 200
    assert len(es.documents(target)) == before + 1


STAMP = rb'"@timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"'


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b'{"n":1e5}', rb"\{%b,\"n\":1e5\}" % STAMP),
        (b' { "n" : 1 }', rb" \{%b, \"n\" : 1 \}" % STAMP),
        (b"{}", rb"\{%b\}" % STAMP),
        (b"{ }", rb"\{%b \}" % STAMP),
        (b'{"a":{"@timestamp":1}}', rb"\{%b,\"a\":\{\"@timestamp\":1\}\}" % STAMP),
        (b'{"n":1,"@timestamp":"2024"}', rb"\{\"n\":1,\"@timestamp\":\"2024\"\}"),
        (b'{"@timestamp":null}', rb"\{\"@timestamp\":null\}"),
    ],
    ids=["missing", "spaces", "empty", "empty_with_space", "only_inside", "there", "null"],
)
@pytest.mark.parametrize("chosen", [False, True], ids=["by_document", "by_query"])
def test_timestamp_is_added_for_a_data_stream_where_the_document_has_none(
    document: bytes,
    expected: bytes,
    chosen: bool,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    target = f"logs-{index_name.replace('-', '_')}-default" if chosen else DEFAULT_TARGET
    query: dict[str, Any] = {"index": target} if chosen else {}
    service.wait_until_settled()
    assert service.post(document, ack="indexed", **query).status == 200
    assert re.fullmatch(expected, es.documents(target)[-1].source)


def test_document_for_a_plain_index_gets_no_timestamp(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    service.post(b'{}\n{"n":1}\n', index=index_name, ack="indexed")
    assert stored(es, index_name) == [b"{}", b'{"n":1}']

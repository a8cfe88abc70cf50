"""Action lines, ids, shard routings, timestamps."""

from typing import Any

import orjson
import pytest

from ingest.router.router import Router, RoutingError
from ingest.router.routes import read_routes
from tests.unit.router.rig import route_of

HEADS: dict[str, tuple[dict[str, Any], str, bytes]] = {
    "assigned": ({}, "assigned", b'{"create":{"_index":"t","_id":"'),
    "index": ({"action": "index"}, "assigned", b'{"index":{"_index":"t","_id":"'),
    "pipeline": (
        {"ingest_pipeline": 'p"1'},
        "assigned",
        b'{"create":{"_index":"t","pipeline":"p\\"1","_id":"',
    ),
    "pipeline and shard routing": (
        {"ingest_pipeline": "p", "shard_routing": {"field": "user"}},
        "assigned",
        b'{"create":{"_index":"t","pipeline":"p","routing":"u\\"1","_id":"',
    ),
    "elasticsearch": ({"id": "elasticsearch"}, "elasticsearch", b'{"create":{"_index":"t"}}\n'),
    "elasticsearch and shard routing": (
        {"id": "elasticsearch", "shard_routing": {"field": "user"}},
        "own",
        b'{"create":{"_index":"t","routing":"u\\"1"}}\n',
    ),
    "field": (
        {"id": {"field": "order.id"}},
        "own",
        b'{"create":{"_index":"t","_id":"\xc3\xa4\\n1"}}\n',
    ),
    "field and shard routing": (
        {"id": {"field": "number"}, "shard_routing": {"field": "number"}},
        "own",
        b'{"create":{"_index":"t","routing":"12","_id":"12"}}\n',
    ),
}


@pytest.mark.parametrize(("keys", "id_mode", "head"), HEADS.values(), ids=HEADS)
def test_action_lines(keys: dict[str, Any], id_mode: str, head: bytes) -> None:
    document = {"user": 'u"1', "order": {"id": "ä\n1"}, "number": 12}
    target = route_of({"target": "t", **keys})(document)
    assert (target.id_mode, target.head) == (id_mode, head)


def test_the_hash_of_a_line_is_its_id() -> None:
    route = Router(read_routes([{"target": "t", "id": "hash"}])).for_request("/", None, {}, {})
    heads = [route({}, line).head for line in (b'{"a":1}', b'{"a":1}\r\n', b'{"a":2}')]
    assert heads[0] == heads[1] != heads[2]
    document_id = orjson.loads(heads[0])["create"]["_id"]
    assert len(document_id) == 22
    assert document_id.isascii()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(None, "holds nothing", id="missing"),
        pytest.param("", "is empty", id="empty"),
        pytest.param("x" * 513, "513 bytes long; the limit is 512", id="513 bytes"),
        pytest.param("é" * 257, "514 bytes long", id="257 letters of two bytes"),
        pytest.param("\ud800", "not valid Unicode", id="half a surrogate pair"),
        pytest.param(1.5, "a decimal number", id="decimal number"),
        pytest.param(True, "a boolean", id="boolean"),
        pytest.param(["a"], "an array", id="array"),
        pytest.param({"b": 1}, "an object", id="object"),
    ],
)
@pytest.mark.parametrize("what", ["id", "shard_routing"])
def test_ids_and_shard_routings_that_would_harm_the_bulk_are_refused(
    what: str, value: Any, words: str
) -> None:
    router = Router(read_routes([{"name": "r", "target": "t", what: {"field": "a"}}]))
    route = router.for_request("/ingest", None, {}, {})
    with pytest.raises(RoutingError, match=words) as caught:
        route({"a": value}, b"")
    assert (caught.value.type, caught.value.rule) == (f"invalid_{what}", "r")
    assert "field a" in caught.value.reason


@pytest.mark.parametrize("value", ["x" * 512, "é" * 256, 2**64 - 1, 0, -5, " "], ids=str)
def test_ids_of_up_to_512_bytes_are_taken(value: Any) -> None:
    target = route_of({"target": "t", "id": {"field": "a"}})({"a": value})
    assert orjson.loads(target.head)["create"]["_id"] == str(value)


@pytest.mark.parametrize(
    ("table", "adds"),
    [
        ({"target": "logs-a-b"}, True),
        ({"target": "metrics-a-b"}, True),
        ({"target": "app"}, False),
        ({"target": "logs-a"}, False),
        ({"target": "app", "timestamp": "add"}, True),
        ({"target": "app", "timestamp": "add", "action": "index"}, True),
        ({"target": "logs-a-b", "timestamp": "leave"}, False),
        ({"target": "{kind}-a-b"}, True),
        ({"target": "{kind}-a-b", "action": "index"}, False),
    ],
    ids=str,
)
def test_a_timestamp_is_added_for_data_streams(table: dict[str, Any], adds: bool) -> None:
    assert route_of(table)({"kind": "logs"}).adds_timestamp is adds

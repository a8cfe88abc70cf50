"""Routing: rules over documents and requests to targets with their action lines."""

import time
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from ingest.errors import ConfigError, NotFound, RequestError
from ingest.model import Target
from ingest.router.router import Router, RoutingError, explain
from ingest.router.routes import read_routes
from ingest.router.targets import KEPT_MAX, UtcDates

NOW = 1_715_000_000.0  # 2024-05-06T12:53:20Z


def route_of(
    *tables: Mapping[str, Any],
    path: str = "/ingest",
    name: str | None = None,
    query: Mapping[str, str] = {},
    headers: Mapping[str, str] = {},
    **settings: Any,
) -> Any:
    """`target(document)` of these rules and this request."""
    router = Router(read_routes(tables), now=lambda: NOW, **settings)
    route = router.for_request(path, name, query, headers)
    return lambda document: route(document, orjson.dumps(document))


def refusal_of(route: Any, document: Mapping[str, Any]) -> RoutingError:
    with pytest.raises(RoutingError) as caught:
        route(document)
    return caught.value


# Conditions

HOLDING = [
    ({"field": "a", "exists": True}, {"a": ""}),
    ({"field": "a", "exists": False}, {"b": 1}),
    ({"field": "a", "exists": False}, {"a": None}),
    ({"field": "a", "equals": "x"}, {"a": "x"}),
    ({"field": "a", "equals": 1}, {"a": 1}),
    ({"field": "a", "equals": True}, {"a": True}),
    ({"field": "a", "one_of": ["x", "y"]}, {"a": "y"}),
    ({"field": "a", "one_of": [1, 2]}, {"a": 2}),
    ({"field": "a", "prefix": "x"}, {"a": "xyz"}),
    ({"field": "a.b", "equals": "x"}, {"a": {"b": "x"}}),
    ({"field": "a.b", "equals": "x"}, {"a.b": "x"}),
    ({"field": "a.b", "equals": "x"}, {"a": 1, "a.b": "x"}),
    ({"field": "a.b", "equals": "x"}, {"a": {"b": None}, "a.b": "x"}),
    ({"field": "a.b.c", "equals": "x"}, {"a": {"b": {"c": "x"}}}),
    ({"field": "a.b.c", "equals": "x"}, {"a": {"b.c": "x"}}),
    ({"field": "a.b.c", "equals": "x"}, {"a.b": {"c": "x"}}),
    ({"field": "a.b.c", "equals": "x"}, {"a.b.c": "x"}),
]
FAILING = [
    ({"field": "a", "exists": True}, {"a": None}),
    ({"field": "a", "equals": 1}, {"a": True}),
    ({"field": "a", "equals": 1}, {"a": 1.0}),
    ({"field": "a", "equals": True}, {"a": 1}),
    ({"field": "a", "equals": "x"}, {"a": ["x"]}),
    ({"field": "a", "one_of": ["x"]}, {"a": ["x"]}),
    ({"field": "a", "one_of": [1]}, {"a": True}),
    ({"field": "a", "prefix": "x"}, {"a": 1}),
    ({"field": "a", "prefix": "x"}, {}),
    ({"field": "a.b", "exists": True}, {"a": "b"}),
    ({"field": "a.b", "exists": True}, {"a": [{"b": 1}]}),
    ({"field": "a.b", "exists": True}, {"a": None}),
]


@pytest.mark.parametrize(("when", "document"), HOLDING, ids=str)
def test_conditions_that_hold(when: dict[str, Any], document: dict[str, Any]) -> None:
    assert route_of({"when": when, "target": "yes"})(document).name == "yes"


@pytest.mark.parametrize(("when", "document"), FAILING, ids=str)
def test_conditions_that_do_not_hold(when: dict[str, Any], document: dict[str, Any]) -> None:
    assert route_of({"when": when, "target": "yes"})(document).name == "logs-generic-default"


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"path": "/ingest"}, True),
        ({"path": "/other"}, False),
        ({"path": True, "prefix": "/in"}, True),
        ({"path": True, "one_of": ["/a", "/ingest"]}, True),
        ({"header": "X-Tenant", "equals": "blue"}, True),
        ({"header": "x-tenant", "equals": "red"}, False),
        ({"header": "x-other", "exists": True}, False),
        ({"query": "kind", "prefix": "aud"}, True),
        ({"query": "kind", "exists": False}, False),
    ],
    ids=str,
)
def test_conditions_on_the_request(when: dict[str, Any], holds: bool) -> None:
    route = route_of(
        {"when": when, "target": "yes"}, query={"kind": "audit"}, headers={"x-tenant": "blue"}
    )
    assert (route({}).name == "yes") is holds


def test_all_conditions_of_a_rule_must_hold() -> None:
    when = [{"field": "a", "exists": True}, {"header": "b", "equals": "1"}]
    table = {"when": when, "target": "yes"}
    assert route_of(table, headers={"b": "1"})({"a": 1}).name == "yes"
    assert route_of(table, headers={"b": "1"})({}).name == "logs-generic-default"
    assert route_of(table, headers={"b": "2"})({"a": 1}).name == "logs-generic-default"


def test_the_first_match_wins() -> None:
    route = route_of(
        {"when": {"field": "a", "equals": 1}, "target": "first"},
        {"when": {"field": "a", "exists": True}, "target": "second-{a}"},
        {"target": "third-{a|none}"},
    )
    names = [route(document).name for document in ({"a": 1}, {"a": "x"}, {})]
    assert names == ["first", "second-x", "third-none"]


def test_a_field_that_an_earlier_rule_fills_in_is_found_by_a_later_one() -> None:
    route = route_of(
        {"when": {"field": "a", "exists": True}, "target": "first-{b.c|x}"},
        {"target": "second-{b.c|x}"},
    )
    names = [route({**document, "b.c": "y"}).name for document in ({"a": 1}, {})]
    assert names == ["first-y", "second-y"]


def test_a_rule_that_rejects() -> None:
    route = route_of({"name": "end", "when": {"field": "a", "exists": True}, "reject": "no {a}"})
    refusal = refusal_of(route, {"a": 1})
    assert (refusal.type, refusal.reason, refusal.rule) == ("route_rejected", "no {a}", "end")
    assert (refusal.status, route({}).name) == (400, "logs-generic-default")


# Names of targets


@pytest.mark.parametrize(
    ("target", "document", "name"),
    [
        ("logs-{a|x}-default", {"a": "web"}, "logs-web-default"),
        ("logs-{a|x}-default", {}, "logs-x-default"),
        ("logs-{a|x}-default", {"a": None}, "logs-x-default"),
        ("logs-{a|x}-default", {"a": ""}, "logs-x-default"),
        ("logs-{a|x}-default", {"a": 7}, "logs-7-default"),
        ("logs-{a|x}-default", {"a": "My-App"}, "logs-my_app-default"),
        ("logs-{a|x}-default", {"a": "../x"}, "logs-.._x-default"),
        ("{a|x}-app", {"a": "my-team"}, "my-team-app"),
        ("{a}", {"a": ".security"}, "security"),
        ("{a}", {"a": "-"}, "unnamed"),
        ("{a}-{b.c|y}", {"a": "1", "b": {"c": "2"}}, "1-2"),
        ("{a}{a}", {"a": "1"}, "11"),
        ("{header:X-T|none}-{query:t|none}-{a|x}", {}, "blue-none-x"),
    ],
)
def test_names_are_filled_and_cleaned(target: str, document: dict[str, Any], name: str) -> None:
    route = route_of({"target": target}, headers={"x-t": "blue"})
    assert [route(document).name, route(document).name] == [name, name]


@pytest.mark.parametrize("value", [True, 1.0, ["x"], {"b": 1}], ids=str)
def test_values_that_are_no_text_are_refused_also_after_a_hit(value: Any) -> None:
    route = route_of({"name": "r", "target": "t-{a|x}"})
    assert [route({"a": "1"}).name, route({"a": 1}).name] == ["t-1", "t-1"]
    refusal = refusal_of(route, {"a": value})
    assert (refusal.type, refusal.rule) == ("routing_error", "r")
    assert "field a holds" in refusal.reason


def test_a_missing_field_without_default_is_refused() -> None:
    refusal = refusal_of(route_of({"target": "t-{a.b}"}), {"a": {}})
    assert (refusal.type, refusal.rule) == ("routing_error", "routes[0]")
    assert "field a.b is missing" in refusal.reason


@pytest.mark.parametrize("value", ["Web", "a b", "a-b", "x" * 300], ids=lambda v: v[:9])
def test_invalid_names_are_refused_where_configured(value: str) -> None:
    route = route_of({"target": "logs-{a}-default"}, invalid_names="reject")
    refusal = refusal_of(route, {"a": value})
    assert refusal.type == "invalid_index_name"
    assert value not in refusal.reason
    assert route({"a": "web"}).name == "logs-web-default"


UNREADABLE_DATES: list[Any] = [
    *(None, "", "Z", "yesterday", "9999-99-99T99Z", "0001-01-01T00:00:00+14:00"),
    *(10**18, -(10**18), 1e308, float("inf"), True, ["2023-01-02"], {}),
]


@pytest.mark.parametrize(
    ("value", "date"),
    [
        pytest.param("2023-01-02T03:04:05Z", "2023.01.02-03", id="UTC"),
        pytest.param("2023-01-02T03:04:05.123456789Z", "2023.01.02-03", id="nanoseconds"),
        pytest.param("2023-01-02T03:04:05+00:00", "2023.01.02-03", id="offset of zero"),
        pytest.param("2023-01-02 03:04:05Z", "2023.01.02-03", id="space instead of T"),
        pytest.param("2023-01-02T23:59:60Z", "2023.01.02-23", id="leap second"),
        pytest.param("2023-01-02T01:04:05+02:00", "2023.01.01-23", id="east"),
        pytest.param("2023-01-02T23:40:05-0530", "2023.01.03-05", id="west"),
        pytest.param("2023-01-02T03:04:05", "2023.01.02-03", id="no zone is UTC"),
        pytest.param("2023-01-02", "2023.01.02-00", id="date only"),
        pytest.param(1_672_628_645_000, "2023.01.02-03", id="milliseconds"),
        pytest.param(1_672_628_645_000.5, "2023.01.02-03", id="decimal milliseconds"),
        pytest.param(-1, "1969.12.31-23", id="before 1970"),
        *[
            pytest.param(value, "2024.05.06-12", id=f"unreadable {value!r}"[:30])
            for value in UNREADABLE_DATES
        ],
    ],
)
def test_dates_are_utc_and_else_the_receive_time(value: Any, date: str) -> None:
    dates = UtcDates("%Y.%m.%d-%H", lambda: NOW)
    assert [dates.text_of(value), dates.text_of(value)] == [date, date]


def test_dates_without_a_zone_do_not_depend_on_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        dates = UtcDates("%d-%H", lambda: NOW)
        assert [dates.text_of("2023-01-02T03:04:05"), dates.text_of(None)] == ["02-03", "06-12"]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_date_in_a_name() -> None:
    route = route_of({"target": "{a|x}-{@timestamp:%Y.%m.%d}"})
    assert route({"@timestamp": "2023-01-02T23:00:00-02:00"}).name == "x-2023.01.03"
    assert route({"a": "y"}).name == "y-2024.05.06"


# The default


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({}, "logs-generic-default"),
        ({"data_stream": {"type": "metrics"}}, "metrics-generic-default"),
        (
            {"data_stream": {"dataset": "nginx.access", "namespace": "prod"}},
            "logs-nginx.access-prod",
        ),
        ({"data_stream.dataset": "a-b"}, "logs-a_b-default"),
        ({"data_stream.type": "traces"}, "traces-generic-default"),
        ({"data_stream.namespace": "n"}, "logs-generic-n"),
        ({"data_stream": {"dataset": None}}, "logs-generic-default"),
        ({"data_stream": "logs"}, "logs-generic-default"),
    ],
    ids=str,
)
def test_without_a_match_the_document_names_its_data_stream(
    document: dict[str, Any], name: str
) -> None:
    target = route_of()(document)
    assert target.name == name
    assert (target.action, target.id_mode, target.adds_timestamp) == ("create", "assigned", True)


@pytest.mark.parametrize("value", [1, True, ["a"], {}], ids=str)
def test_data_stream_fields_must_be_strings(value: Any) -> None:
    refusal = refusal_of(route_of(), {"data_stream": {"dataset": value}})
    assert (refusal.type, refusal.rule) == ("routing_error", "default")
    assert "a string" in refusal.reason


# Action lines, ids, timestamps

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


# Requests


def test_a_named_route_skips_its_conditions_and_all_other_rules() -> None:
    tables = [
        {"when": {"field": "a", "exists": True}, "target": "first"},
        {"name": "audit", "when": {"field": "b", "exists": True}, "target": "audit-{a|x}"},
    ]
    assert route_of(*tables, name="audit")({"a": 1}).name == "audit-1"


def test_a_route_that_is_only_named_takes_nothing_else() -> None:
    table = {"name": "audit", "when": "named", "target": "audit"}
    assert route_of(table)({}).name == "logs-generic-default"
    assert route_of(table, name="audit")({}).name == "audit"


@pytest.mark.parametrize("query", [{}, {"index": "a"}], ids=str)
def test_an_unknown_route_is_not_found(query: dict[str, str]) -> None:
    with pytest.raises(NotFound, match="did you mean 'audit'"):
        route_of({"name": "audit", "target": "a"}, name="adit", query=query)


@pytest.mark.parametrize("name", [None, "audit"])
def test_the_index_of_the_query_wins(name: str | None) -> None:
    table = {"name": "audit", "target": "audit", "id": "hash"}
    target = route_of(table, name=name, query={"index": "logs-mine-x"})({})
    assert target.head == b'{"create":{"_index":"logs-mine-x","_id":"'
    assert (target.id_mode, target.adds_timestamp) == ("assigned", True)


@pytest.mark.parametrize("index", ["", "A", ".security", "a,b", "*", "_all", "<x>", "x" * 256])
def test_an_invalid_index_in_the_query_is_refused(index: str) -> None:
    with pytest.raises(RequestError) as caught:
        route_of(query={"index": index})
    assert (caught.value.status, caught.value.kind) == (400, "invalid_index_name")


def test_the_index_of_the_query_can_be_switched_off() -> None:
    with pytest.raises(RequestError, match="client_index") as caught:
        route_of(query={"index": "a"}, client_index=False)
    assert (caught.value.status, caught.value.kind) == (400, "client_index_disabled")


def test_requests_get_the_same_function_where_no_rule_asks_them() -> None:
    router = Router(read_routes([{"target": "a-{x|y}"}]))
    first = router.for_request("/ingest", None, {}, {})
    assert router.for_request("/other", None, {"a": "b"}, {"c": "d"}) is first


def test_requests_do_not_see_each_others_values() -> None:
    router = Router(read_routes([{"target": "t-{header:x|none}"}]))
    routes = [router.for_request("/", None, {}, {"x": each}) for each in ("a", "b")]
    assert [route({}, b"").name for route in routes] == ["t-a", "t-b"]


def test_unreachable_rules_are_refused() -> None:
    routes = read_routes([{"target": "a"}])
    with pytest.raises(ConfigError, match=r"routes\[1\]"):
        Router(routes * 2)


# What is kept


def test_the_same_values_give_the_same_target() -> None:
    route = route_of({"target": "t-{a}"})
    assert route({"a": "x"}) is route({"a": "x"})
    assert route({"a": 1}) is route({"a": "1"})


def test_kept_targets_are_bounded_in_number_and_size() -> None:
    router = Router(read_routes([{"target": "t-{a}"}]))
    route = router.for_request("/", None, {}, {})
    first = route({"a": "0"}, b"")
    assert route({"a": "y" * 10_000}, b"") is not route({"a": "y" * 10_000}, b"")
    for number in range(1, KEPT_MAX + 1):
        route({"a": str(number)}, b"")
    assert route({"a": "0"}, b"") is not first


# Explanations


def explained(tables: list[dict[str, Any]], document: dict[str, Any], **request: Any) -> Any:
    return explain(Router(read_routes(tables)), document, b"{}", **request)


def test_an_explanation_tells_the_rules_asked_and_the_one_that_took_it() -> None:
    tables: list[dict[str, Any]] = [
        {"when": {"field": "a", "equals": "x"}, "target": "first"},
        {"name": "only", "when": "named", "target": "only"},
        {
            "name": "b",
            "when": {"header": "h", "prefix": "y"},
            "target": "b",
            "ingest_pipeline": "p",
        },
        {"target": "last"},
    ]
    explanation = explained(tables, {"a": "z"}, headers={"h": "yes"})
    assert explanation.rule == "b"
    assert explanation.asked == [
        ("routes[0]", [("field a equals 'x'", False)]),
        ("b", [("header h prefix 'y'", True)]),
    ]
    assert isinstance(explanation.target, Target)
    assert (explanation.target.name, explanation.id) == ("b", "assigned")
    assert (explanation.ingest_pipeline, explanation.rejection) == ("p", None)


def test_an_explanation_of_a_rejection() -> None:
    explanation = explained([{"name": "r", "target": "t", "id": {"field": "n.id"}}], {})
    assert (explanation.rule, explanation.target, explanation.id) == ("r", None, "n.id")
    assert explanation.rejection.type == "invalid_id"


@pytest.mark.parametrize(
    ("request_", "rule", "name"),
    [
        ({}, "default", "logs-generic-default"),
        ({"route_name": "n"}, "n", "named"),
        ({"query": {"index": "mine"}}, "?index=", "mine"),
    ],
    ids=["default", "route name", "index"],
)
def test_explanations_without_a_matching_rule(
    request_: dict[str, Any], rule: str, name: str
) -> None:
    tables = [{"name": "n", "when": {"field": "a", "exists": True}, "target": "named"}]
    explanation = explained(tables, {}, **request_)
    assert (explanation.rule, explanation.target.name) == (rule, name)

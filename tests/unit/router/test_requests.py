"""Named routes, the index of the query, and what requests share."""

import pytest

from ingest.errors import ConfigError, NotFound, RequestError
from ingest.router.router import Router
from ingest.router.routes import read_routes
from ingest.router.targets import KEPT_MAX
from tests.unit.router.rig import route_of


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

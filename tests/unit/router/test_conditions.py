"""Which rule takes a document: conditions on fields and on the request."""

from typing import Any

import pytest

from tests.unit.router.rig import refusal_of, route_of

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

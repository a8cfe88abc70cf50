"""Names of targets, filled from the document, cleaned, or refused."""

from typing import Any

import pytest

from tests.unit.router.rig import refusal_of, route_of


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


def test_a_date_in_a_name() -> None:
    route = route_of({"target": "{a|x}-{@timestamp:%Y.%m.%d}"})
    assert route({"@timestamp": "2023-01-02T23:00:00-02:00"}).name == "x-2023.01.03"
    assert route({"a": "y"}).name == "y-2024.05.06"


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

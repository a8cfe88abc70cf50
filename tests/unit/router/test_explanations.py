"""Explanations: the rules that were asked, and the one that took the document."""

from typing import Any

import pytest

from ingest.model import Target
from ingest.router.router import Router, explain
from ingest.router.routes import read_routes


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

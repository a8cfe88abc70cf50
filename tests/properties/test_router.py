"""Whatever documents hold: valid names, readable action lines, and the rules' own order."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ingest.model import Target
from ingest.router.router import Router, RoutingError, explain
from ingest.router.routes import Route, read_routes
from ingest.router.targets import UtcDates
from tests.properties.test_names import elasticsearch_takes

NOW = 1_715_000_000.0

texts = st.text(st.characters(), max_size=120) | st.sampled_from(
    ["", "web", ".x", "..", "A-b", "-", "x" * 300, "é" * 300, "2024-05-06T07:08:09Z", "\ud800"]
)
keys: st.SearchStrategy[str] = st.sampled_from(
    ["a", "b", "a.b", "data_stream", "type", "dataset", "data_stream.dataset", "x"]
)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3)
)
documents = st.dictionaries(keys, values, max_size=5)

TARGETS = [
    "logs-{a.b|x}-default",
    "{a}",
    "{a|x}-{a.b|y}.{x:%Y.%m.%d}",
    "{data_stream.type|logs}-{a|x}-{header:h|none}",
    "{query:q}{a.b}",
]
IDS: list[Any] = ["assigned", "hash", "elasticsearch", {"field": "a.b"}]
routes = st.fixed_dictionaries(
    {"target": st.sampled_from(TARGETS), "id": st.sampled_from(IDS)},
    optional={
        "ingest_pipeline": st.text(min_size=1, max_size=20),
        "shard_routing": st.just({"field": "b"}),
    },
)


@given(routes, documents, texts, texts)
def test_a_document_gets_a_valid_target_or_a_reason(
    table: dict[str, Any], document: dict[str, Any], header: str, parameter: str
) -> None:
    for invalid_names in ("clean", "reject"):
        target = routed(table, document, header, parameter, invalid_names)
        if target is not None:
            assert elasticsearch_takes(target.name)
            check_action_line(target, table)


@given(documents)
def test_without_rules_a_document_gets_a_valid_target_or_a_reason(document: dict[str, Any]) -> None:
    explanation = explain(Router(), document, b"")
    assert explanation.rule == "default"
    if explanation.target is None:
        assert explanation.rejection is not None
        assert explanation.rejection.rule == "default"
    else:
        assert elasticsearch_takes(explanation.target.name)


@given(routes, st.lists(documents, max_size=8), documents)
def test_what_is_kept_of_earlier_documents_changes_nothing(
    table: dict[str, Any], earlier: list[dict[str, Any]], document: dict[str, Any]
) -> None:
    warm = router_of(table).for_request("/ingest", None, {"q": "1"}, {})
    for each in earlier:
        outcome_of(warm, each)
    fresh = router_of(table).for_request("/ingest", None, {"q": "1"}, {})
    assert outcome_of(warm, document) == outcome_of(fresh, document)


@given(st.text("abc", min_size=1, max_size=5), st.integers(0, 15), st.sampled_from(["v", 0, False]))
def test_a_field_is_found_however_its_path_is_split(letters: str, split: int, value: Any) -> None:
    parts = list(letters)
    table = {"when": {"field": ".".join(parts), "equals": value}, "target": "found"}
    document = nested(parts, split, value)
    assert outcome_of(router_of(table).for_request("/", None, {}, {}), document)[0] == "found"


CONDITIONS: list[dict[str, Any]] = [
    {"field": field, test: expected}
    for field in ("a", "b", "a.b")
    for test, expected in [
        ("exists", True),
        ("exists", False),
        ("equals", "web"),
        ("equals", 1),
        ("equals", True),
        ("one_of", ["web", "app"]),
        ("one_of", [0, 1]),
        ("prefix", "w"),
    ]
]
plain_values: st.SearchStrategy[Any] = st.sampled_from(
    [None, "web", "app", "w", "", 0, 1, 1.0, True, False, ["web"], {}]
)
plain_documents = st.dictionaries(st.sampled_from(["a", "b", "a.b"]), plain_values) | st.builds(
    lambda value: {"a": {"b": value}}, plain_values
)


@given(
    st.lists(st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=3), max_size=4),
    plain_documents,
)
def test_the_first_rule_wins_whose_conditions_all_hold(
    rules: list[list[dict[str, Any]]], document: dict[str, Any]
) -> None:
    tables = [{"when": when, "target": f"rule-{place}"} for place, when in enumerate(rules)]
    matches = [place for place, when in enumerate(rules) if all(holds(c, document) for c in when)]
    expected = f"rule-{matches[0]}" if matches else "logs-generic-default"
    router = Router(read_routes(tables))
    assert router.for_request("/", None, {}, {})(document, b"").name == expected
    explanation = explain(router, document, b"")
    assert explanation.target is not None
    assert explanation.target.name == expected
    assert explanation.rule == (f"routes[{matches[0]}]" if matches else "default")
    assert (
        explanation.rule == expected.replace("rule-", "routes[") + "]"
        or not tables
        or (explanation.rule == "default")
    )


@given(
    st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30)),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["seconds", "milliseconds", "microseconds", "minutes"]),
)
def test_dates_are_those_of_utc(moment: datetime, offset_minutes: int, precision: str) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    text = zoned.isoformat(timespec=precision)
    expected = zoned.astimezone(UTC).strftime("%Y.%m.%d.%H")
    dates = UtcDates("%Y.%m.%d.%H", lambda: NOW)
    assert dates.text_of(text) == expected
    if offset_minutes == 0:
        assert dates.text_of(text.replace("+00:00", "Z")) == expected


def router_of(table: dict[str, Any], **settings: Any) -> Router:
    return Router(read_routes([table]), now=lambda: NOW, **settings)


def routed(
    table: dict[str, Any], document: dict[str, Any], header: str, parameter: str, invalid_names: str
) -> Target | None:
    router = router_of(table, invalid_names=invalid_names)
    try:
        return router.for_request("/", None, {"q": parameter}, {"h": header})(document, b"line")
    except RoutingError:
        return None


def outcome_of(route: Any, document: dict[str, Any]) -> tuple[str, ...]:
    try:
        target = route(document, b"line")
    except RoutingError as error:
        return error.type, error.reason
    return target.name, target.id_mode, target.head


def check_action_line(target: Target, table: dict[str, Any]) -> None:
    """It is one line of JSON, complete or up to the id, with the keys that the rule asks for."""
    route = Route.model_validate(table)
    ending = b'assigned"}}\n' if target.id_mode == "assigned" else b""
    [line, rest] = (target.head + ending).split(b"\n")
    assert rest == b""
    [(action, meta)] = orjson.loads(line).items()
    wanted = {
        "_index": True,
        "pipeline": route.ingest_pipeline is not None,
        "routing": route.shard_routing is not None,
        "_id": route.id != "elasticsearch",
    }
    assert (action, meta["_index"]) == ("create", target.name)
    assert list(meta) == [key for key, is_wanted in wanted.items() if is_wanted]
    assert 1 <= len(meta.get("_id", "x").encode()) <= 512


def nested(parts: list[str], split: int, value: Any) -> dict[str, Any]:
    """A document with the path `parts`, where bit i of `split` joins parts i and i + 1 by a dot."""
    names = parts[:1]
    for place, part in enumerate(parts[1:]):
        if split >> place & 1:
            names[-1] += f".{part}"
        else:
            names.append(part)
    for name in reversed(names):
        value = {name: value}
    found: dict[str, Any] = value
    return found


def holds(condition: dict[str, Any], document: dict[str, Any]) -> bool:
    """A condition on `a`, `b` or `a.b`, asked in the plainest way."""
    found: list[Any] = [document.get(condition["field"])]
    if condition["field"] == "a.b" and isinstance(document.get("a"), dict):
        found.insert(0, document["a"].get("b"))
    value = next((each for each in found if each is not None), None)
    if "exists" in condition:
        return (value is not None) is condition["exists"]
    if "prefix" in condition:
        return isinstance(value, str) and value.startswith(condition["prefix"])
    expected = condition["one_of"] if "one_of" in condition else [condition["equals"]]
    return any(type(value) is type(each) and value == each for each in expected)

"""`[[routes]]` tables: what is read from them, and which key a fault names."""

import tomllib
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from ingest.errors import ConfigError
from ingest.router.routes import FieldReference, Route, key_of, read_routes
from ingest.router.templates import Placeholder, read_template


def routes_from(toml: str) -> list[Route]:
    tables: list[dict[str, Any]] = tomllib.loads(toml)["routes"]
    return read_routes(tables)


def test_the_documented_example_is_read() -> None:
    [route] = routes_from(
        """
        [[routes]]
        name = "services"
        when = { field = "service.name", exists = true }
        target = "logs-{service.name|unknown}-default"
        action = "create"
        """
    )
    [condition] = route.conditions
    assert (condition.subject, condition.test) == (("field", "service.name"), ("exists", True))
    assert (route.name, route.action, route.id, route.timestamp) == (
        "services",
        "create",
        "assigned",
        None,
    )


def test_several_conditions_are_a_list() -> None:
    [route] = routes_from(
        """
        [[routes]]
        when = [
            { header = "X-Tenant", one_of = ["a", "b"] },
            { query = "kind", prefix = "aud" },
            { path = "/ingest" },
            { path = true, prefix = "/in" },
            { field = "level", equals = 3 },
        ]
        target = "a"
        id = { field = "order.number" }
        shard_routing = { field = "user.id" }
        """
    )
    assert [(*each.subject, *each.test) for each in route.conditions] == [
        ("header", "x-tenant", "one_of", ("a", "b")),
        ("query", "kind", "prefix", "aud"),
        ("path", "", "equals", "/ingest"),
        ("path", "", "prefix", "/in"),
        ("field", "level", "equals", 3),
    ]
    assert route.id == FieldReference(field="order.number")
    assert route.shard_routing == FieldReference(field="user.id")


def test_a_condition_reads_as_it_was_written() -> None:
    [route] = read_routes([{"when": {"field": "a.b", "equals": "x"}, "target": "t"}])
    assert str(route.conditions[0]) == "field a.b equals 'x'"


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("a", ("a",)),
        ("{a.b}", (Placeholder("field", "a.b"),)),
        ("x-{a|b}-y", ("x-", Placeholder("field", "a", "b"), "-y")),
        ("{@timestamp:%Y.%m}", (Placeholder("field", "@timestamp", None, "%Y.%m"),)),
        ("{header:X-Tenant|none}", (Placeholder("header", "x-tenant", "none"),)),
        ("{query:Tenant}", (Placeholder("query", "Tenant"),)),
    ],
)
def test_templates_are_read(text: str, template: tuple[str | Placeholder, ...]) -> None:
    assert read_template(text) == template


FAULTS = {
    "unknown key of a rule": ('target="a"\nactoin="x"', "[0].actoin", "did you mean action?"),
    "unknown key without a near one": ('target="a"\nzzz=1', "[0].zzz", "known: name, when"),
    "no target": ('name="a"', "[0]", "exactly one of target, reject"),
    "target and reject": ('target="a"\nreject="b"', "[0]", "exactly one of target, reject"),
    "reject with an id": ('reject="b"\nid="hash"', "[0].reject", "remove id"),
    "target is a number": ("target=3", "[0].target", "string"),
    "target in upper case": ('target="Web"', "[0].target", "upper-case"),
    "hidden target": ('target=".web"', "[0].target", "starts with '.'"),
    "too long target": (f'target="{"a" * 256}"', "[0].target", "256 bytes"),
    "empty target": ('target=""', "[0].target", "empty"),
    "brace without partner": ('target="logs-{a"', "[0].target", "partner"),
    "empty braces": ('target="logs-{}"', "[0].target", "can't read {}"),
    "empty default": ('target="logs-{a|}"', "[0].target", "empty default"),
    "default in upper case": ('target="logs-{a|B}"', "[0].target", "upper-case"),
    "default moves a data stream's parts": ('target="logs-{a|b-c}-d"', "[0].target", "separates"),
    "field of a template with an empty part": ('target="{a..b}"', "[0].target", "empty parts"),
    "date with a name of a month": ('target="{a:%b}"', "[0].target", "%Y %m %d"),
    "date of a header": ('target="{header:a:%Y}"', "[0].target", "from a field"),
    "date with a default": ('target="{a:%Y|x}"', "[0].target", "receive time"),
    "unknown action": ('target="a"\naction="crate"', "[0].action", "'create' or 'index'"),
    "index into a data stream": (
        'target="logs-{a|b}-c"\naction="index"',
        "[0].action",
        "takes create only",
    ),
    "unknown id": ('target="a"\nid="hsh"', "[0].id", "assigned, hash, elasticsearch"),
    "unknown key of an id": ('target="a"\nid={fild="a"}', "[0].id.fild", "field?"),
    "unknown timestamp": ('target="a"\ntimestamp="no"', "[0].timestamp", "'add' or 'leave'"),
    "name with a slash": ('target="a"\nname="a/b"', "[0].name", "pattern"),
    "named without a name": ('target="a"\nwhen="named"', "[0].name", "needs a name"),
    "same name twice": (
        'name="a"\nwhen="named"\ntarget="a"\n[[routes]]\nname="a"\ntarget="b"',
        "[1].name",
        "name of routes[0]",
    ),
    "unreachable behind a rule without conditions": (
        'target="a"\n[[routes]]\nwhen={field="a", exists=true}\ntarget="b"',
        "[1].when",
        "move routes[0] to the end",
    ),
    "second rule without conditions and name": (
        'target="a"\n[[routes]]\ntarget="b"',
        "[1].when",
        "can never hold",
    ),
}
FAULTS_OF_CONDITIONS = {  # the keys stand below `routes[0].when`
    "unknown key of a condition": ('{fild="a", exists=true}', ".fild", "did you mean field?"),
    "wrong type in a condition": ('{field="a", equals=1.5}', ".equals", "a string, an integer"),
    "the second of several conditions": (
        '[{field="a", exists=true}, {field="a", exists="yes"}]',
        "[1].exists",
        "boolean",
    ),
    "two tests": ('{field="a", equals=1, exists=true}', "", "found equals and exists"),
    "two subjects": ('{field="a", query="b", exists=true}', "", "found field and query"),
    "no test": ('{field="a"}', "", "found none"),
    "no conditions in a list": ("[]", "", "must be a table"),
    "when is a number": ("3", "", "must be a table"),
    "empty one_of": ('{field="a", one_of=[]}', ".one_of", ""),
    "one_of is no list": ('{field="a", one_of="x"}', ".one_of", ""),
    "one_of of two types": ('{field="a", one_of=["x", 1]}', ".one_of", "one type"),
    "empty prefix": ('{field="a", prefix=""}', ".prefix", ""),
    "a header is compared with a number": (
        '{header="x", equals=1}',
        ".equals",
        "put the value in quotes",
    ),
    "a path and a test": ('{path="/a", prefix="/"}', ".path", "path = true"),
    "a path exists": ("{path=true, exists=true}", ".exists", "always has a path"),
    "a field with an empty part": ('{field="a..b", exists=true}', ".field", "dotted path"),
}
FAULTS |= {
    name: (f'target="a"\nwhen={when}', f"[0].when{key}", words)
    for name, (when, key, words) in FAULTS_OF_CONDITIONS.items()
}


@pytest.mark.parametrize(("toml", "key", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_its_key(toml: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        routes_from(f"[[routes]]\n{toml}")
    assert str(caught.value).startswith(f"routes{key}: ")
    assert words in str(caught.value)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_routes([{"target": "A"}, {"target": "b", "id": 3}])
    assert "routes[0].target: " in str(caught.value)
    assert "routes[1].id: " in str(caught.value)


@pytest.mark.parametrize(
    "toml",
    [
        pytest.param('target="a"\n[[routes]]\nname="x"\ntarget="b"', id="a name, no conditions"),
        pytest.param('target="a"\n[[routes]]\nname="x"\nwhen="named"\ntarget="b"', id="named"),
        pytest.param(
            'name="x"\nwhen="named"\ntarget="a"\n[[routes]]\ntarget="b"', id="named first"
        ),
        pytest.param('target="logs-a-b"\nid={field="c"}', id="own id into a data stream"),
    ],
)
def test_rules_that_can_be_reached_are_taken(toml: str) -> None:
    assert routes_from(f"[[routes]]\n{toml}")


def test_rules_can_stand_in_another_model() -> None:
    class Outer(BaseModel):
        routes: list[Route] = []

    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"routes": [{"target": "a", "when": {"field": "a", "equals": []}}]})
    [fault] = caught.value.errors()
    assert key_of(fault["loc"]) == "routes[0].when.equals"
    assert Outer.model_validate({"routes": [{"target": "a"}]}).routes == [Route(target="a")]

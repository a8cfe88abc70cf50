"""Templates are read with their faults named, and joined as Elasticsearch joins them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import ConfigError
from ingest.trimmer.composition import compose
from ingest.trimmer.index_templates import default_directory, load

META = {"managed_by": "ingest", "version": 1}


def write(directory: Path, kind: str, name: str, body: Any) -> Path:
    folder = directory / kind
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(body if isinstance(body, str) else json.dumps(body))
    return file


def test_shipped_templates_are_read_and_complete() -> None:
    templates = load(default_directory())
    logs = templates.find("logs-app-default")
    assert logs is not None
    assert (logs.name, logs.priority, logs.version) == ("ingest-logs", 150, 1)
    assert logs.body["data_stream"] == {}
    assert set(logs.body["composed_of"]) == templates.components.keys()
    assert templates.find("metrics-app-default") is None


def test_shipped_templates_use_only_types_that_every_distribution_has() -> None:
    def types(mapping: Any) -> set[str]:
        if isinstance(mapping, list):
            return set().union(*map(types, mapping))
        if not isinstance(mapping, dict):
            return set()
        own = {mapping["type"]} if isinstance(mapping.get("type"), str) else set()
        return own.union(*(types(value) for value in mapping.values()))

    templates = load(default_directory())
    for each in (*templates.components.values(), *templates.indices.values()):
        core = {"text", "keyword", "flattened", "date", "long", "double", "boolean", "ip", "object"}
        assert types(each.body["template"]) <= core


GOOD: dict[str, Any] = {"index_patterns": ["a-*"], "template": {}, "_meta": META}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param("{", "not readable as JSON", id="not JSON"),
        pytest.param("[]", "a template is a JSON object", id="no object"),
        pytest.param({"template": {}}, "_meta.managed_by", id="no _meta"),
        pytest.param(
            GOOD | {"_meta": {"managed_by": "x", "version": 1}}, "_meta.managed_by", id="foreign"
        ),
        pytest.param(GOOD | {"_meta": META | {"version": "1"}}, "_meta.version", id="version text"),
        pytest.param(
            GOOD | {"_meta": META | {"version": True}}, "_meta.version", id="version true"
        ),
        pytest.param(
            {"_meta": META, "index_patterns": ["a"]}, "template: must be", id="no content"
        ),
        pytest.param(
            GOOD | {"template": {"mappings": []}}, "template.mappings: must be", id="mappings"
        ),
        pytest.param(
            GOOD | {"template": {"mappings": {"properties": {"a": {"fields": {"k": 1}}}}}},
            "template.mappings.properties.a.fields.k: must be",
            id="multi-field",
        ),
        pytest.param(
            GOOD | {"template": {"mappings": {"dynamic_templates": [{"a": 1}]}}},
            r"template.mappings.dynamic_templates\[0\]: must be",
            id="dynamic template",
        ),
        pytest.param(GOOD | {"index_patterns": []}, "index_patterns: must be", id="no patterns"),
        pytest.param(GOOD | {"index_patterns": [1]}, "index_patterns: must be", id="a number"),
        pytest.param(
            GOOD | {"composed_of": ["c"]},
            "composed_of: no component template 'c'",
            id="unknown component",
        ),
    ],
)
def test_a_bad_template_is_named_with_its_key(tmp_path: Path, body: Any, reason: str) -> None:
    file = write(tmp_path, "index_templates", "bad", body)
    with pytest.raises(ConfigError, match=reason) as raised:
        load(tmp_path)
    assert str(raised.value).startswith(f"{file}: ")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        load(tmp_path / "absent")


def test_a_component_may_be_missing_where_the_template_says_so(tmp_path: Path) -> None:
    extra = {"composed_of": ["c"], "ignore_missing_component_templates": ["c"]}
    write(tmp_path, "index_templates", "t", GOOD | extra)
    templates = load(tmp_path)
    assert templates.compose(templates.indices["t"]).mappings["properties"] == {}


@pytest.mark.parametrize(
    ("pattern", "target", "matches"),
    [
        ("logs-*-*", "logs-a-b", True),
        ("logs-*-*", "logs-a", False),
        ("*", "anything", True),
        ("logs", "logs", True),
        ("logs", "logs-1", False),
        ("a?[b]*", "a?[b]c", True),
        ("a?c", "abc", False),
    ],
)
def test_only_the_star_is_special_in_patterns(
    tmp_path: Path, pattern: str, target: str, matches: bool
) -> None:
    write(tmp_path, "index_templates", "t", GOOD | {"index_patterns": pattern})
    assert (load(tmp_path).find(target) is not None) == matches


def composed(*layers: dict[str, Any]) -> dict[str, Any]:
    return compose("t", ({"template": {"mappings": layer}} for layer in layers)).mappings


def test_dynamic_templates_are_joined_by_name_in_their_first_place() -> None:
    first = {"dynamic_templates": [{"a": {"match": "1"}}, {"b": {"match": "2"}}]}
    second = {"dynamic_templates": [{"c": {"match": "3"}}, {"a": {"match": "4"}}]}
    assert composed(first, second)["dynamic_templates"] == [
        {"a": {"match": "4"}},
        {"b": {"match": "2"}},
        {"c": {"match": "3"}},
    ]


@pytest.mark.parametrize(
    ("earlier", "later", "result"),
    [
        pytest.param(
            {"type": "text", "fields": {"k": {"type": "keyword"}}},
            {"type": "text"},
            {"type": "text"},
            id="a field is replaced as a whole",
        ),
        pytest.param(
            {"properties": {"p": {"type": "text"}, "q": {"type": "long"}}},
            {"dynamic": "false", "properties": {"p": {"type": "ip"}}},
            {"dynamic": "false", "properties": {"p": {"type": "ip"}, "q": {"type": "long"}}},
            id="objects are joined",
        ),
        pytest.param(
            {"type": "object", "enabled": False},
            {"properties": {"p": {"type": "ip"}}},
            {"properties": {"p": {"type": "ip"}}},
            id="an object takes its parameters from the later one",
        ),
        pytest.param(
            {"properties": {"p": {"type": "ip"}}},
            {"type": "flattened"},
            {"type": "flattened"},
            id="another type replaces an object",
        ),
        pytest.param(
            {"type": "nested", "properties": {"p": {"type": "ip"}}},
            {"properties": {"q": {"type": "ip"}}},
            {"properties": {"q": {"type": "ip"}}},
            id="an object replaces a nested one",
        ),
    ],
)
def test_a_later_layer_wins(
    earlier: dict[str, Any], later: dict[str, Any], result: dict[str, Any]
) -> None:
    assert composed({"properties": {"f": earlier}}, {"properties": {"f": later}})["properties"] == {
        "f": result
    }


def test_dotted_names_are_objects() -> None:
    first: dict[str, Any] = {"properties": {"a.b": {"type": "ip"}}}
    second: dict[str, Any] = {"properties": {"a": {"properties": {}}}}
    assert composed(first, second)["properties"] == {"a": {"properties": {"b": {"type": "ip"}}}}


def test_settings_are_joined_however_they_are_nested() -> None:
    layers = (
        {"template": {"settings": {"mapping.ignore_above": 5, "index.codec": "default"}}},
        {"template": {"settings": {"index": {"mapping": {"ignore_above": 7}}}}},
    )
    assert compose("t", layers).settings == {
        "index.mapping.ignore_above": 7,
        "index.codec": "default",
    }

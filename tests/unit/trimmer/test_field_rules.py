"""Which fields may hold a term that is too long, as the templates of a target say."""

from typing import Any

import pytest

from ingest.errors import ConfigError
from ingest.trimmer.composition import Composed
from ingest.trimmer.field_rules import DISTINCT_PATHS_MAX, FieldRuleBook, FieldRules, Oversize
from ingest.trimmer.index_templates import Template, Templates, default_directory, load

KEYWORD = {"type": "keyword"}
STRINGS_AS_KEYWORDS = {"s": {"match_mapping_type": "string", "mapping": KEYWORD}}


def rules_of(mappings: dict[str, Any], **settings: Any) -> FieldRules:
    return FieldRules(
        Composed("t", mappings, {f"index.{k}": settings[k] for k in settings}), [], ""
    )


def is_unsafe(field: dict[str, Any], **settings: Any) -> bool:
    others = {"g": KEYWORD, "h": {"type": "text", "copy_to": "g"}}
    rules = rules_of({"properties": {"f": field} | others}, **settings)
    return rules.find("f") is not None


@pytest.mark.parametrize(
    ("field", "unsafe"),
    [
        pytest.param(KEYWORD, True, id="keyword"),
        pytest.param(KEYWORD | {"ignore_above": 10_922}, False, id="ignore_above 10922"),
        pytest.param(KEYWORD | {"ignore_above": 10_923}, True, id="ignore_above 10923"),
        pytest.param(KEYWORD | {"index": False}, True, id="only doc values"),
        pytest.param(KEYWORD | {"doc_values": False}, True, id="only indexed"),
        pytest.param(KEYWORD | {"index": False, "doc_values": False}, False, id="neither"),
        pytest.param(
            KEYWORD | {"index": False, "doc_values": False, "store": True}, True, id="only stored"
        ),
        pytest.param({"type": "text"}, False, id="text"),
        pytest.param({"type": "text", "analyzer": "keyword"}, True, id="text as one token"),
        pytest.param(
            {"type": "text", "analyzer": "keyword", "index": False}, False, id="text not indexed"
        ),
        pytest.param({"type": "text", "analyzer": "whitespace"}, False, id="text in short tokens"),
        pytest.param({"type": "text", "fields": {"k": KEYWORD}}, True, id="multi-field"),
        pytest.param(
            KEYWORD | {"ignore_above": 256, "fields": {"k": KEYWORD}},
            True,
            id="multi-field of a safe field",
        ),
        pytest.param({"type": "text", "copy_to": "g"}, True, id="copy"),
        pytest.param({"type": "text", "copy_to": ["x", "g"]}, True, id="one of two copies"),
        pytest.param({"type": "text", "copy_to": "h"}, False, id="a copy is not copied again"),
        pytest.param(
            {"type": "text", "copy_to": "unmapped"}, False, id="copy to an unmapped field"
        ),
        pytest.param({"type": "ip", "ignore_malformed": True}, False, id="ip"),
        pytest.param({"type": "object", "enabled": False}, False, id="object"),
        pytest.param({"type": "flattened"}, False, id="flattened, which takes no string"),
    ],
)
def test_a_field_is_judged_by_its_mapping(field: dict[str, Any], unsafe: bool) -> None:
    assert is_unsafe(field) == unsafe


@pytest.mark.parametrize(
    ("settings", "unsafe"),
    [
        pytest.param({}, True, id="none"),
        pytest.param({"mapping.ignore_above": "8191"}, False, id="index.mapping.ignore_above"),
        pytest.param({"mapping.ignore_above": "20000"}, True, id="too large"),
        pytest.param({"mode": "logsdb"}, False, id="logsdb"),
    ],
)
def test_the_default_of_ignore_above_comes_from_the_settings(
    settings: dict[str, Any], unsafe: bool
) -> None:
    assert is_unsafe(KEYWORD, **settings) == unsafe


@pytest.mark.parametrize(
    ("field", "analysis", "are_safe"),
    [
        pytest.param(KEYWORD, {}, True, id="no normalizer"),
        pytest.param({"normalizer": "lowercase"}, {}, False, id="lowercase"),
        pytest.param(
            {"normalizer": "lowercase", "ignore_above": 10_922}, {}, True, id="with ignore_above"
        ),
        pytest.param({"normalizer": "n"}, {"normalizer.n.filter": ["trim"]}, True, id="trim"),
        pytest.param(
            {"normalizer": "n"}, {"normalizer.n.filter": ["asciifolding"]}, False, id="folding"
        ),
        pytest.param({"normalizer": "n"}, {}, False, id="defined elsewhere"),
        pytest.param(
            {"normalizer": "n", "ignore_above": 992}, {}, True, id="elsewhere, far below the limit"
        ),
        pytest.param({"normalizer": "n", "ignore_above": 993}, {}, False, id="elsewhere, above it"),
    ],
)
def test_short_lines_are_safe_unless_a_value_may_grow(
    field: dict[str, Any], analysis: dict[str, Any], are_safe: bool
) -> None:
    settings = {f"analysis.{key}": value for key, value in analysis.items()}
    rules = rules_of({"properties": {"f": KEYWORD | field}}, **settings)
    assert rules.short_lines_are_safe == are_safe


@pytest.mark.parametrize(
    ("template", "path", "unsafe"),
    [
        pytest.param(STRINGS_AS_KEYWORDS["s"], "a.b", True, id="all strings"),
        pytest.param({"match": "b*", "mapping": KEYWORD}, "a.b", True, id="name"),
        pytest.param({"match": "b*", "mapping": KEYWORD}, "b.a", False, id="another name"),
        pytest.param({"path_match": "a.*", "mapping": KEYWORD}, "a.b", True, id="path"),
        pytest.param(
            {"path_match": "a.*", "mapping": KEYWORD},
            "a.b.c",
            False,
            id="object as keyword, refused",
        ),
        pytest.param(
            {"path_match": "a.*", "match_mapping_type": "string", "mapping": KEYWORD},
            "a.b.c",
            True,
            id="path, deeper",
        ),
        pytest.param({"path_match": ["x", "a.*"], "mapping": KEYWORD}, "a.b", True, id="a list"),
        pytest.param(
            {"path_match": "a.*", "path_unmatch": "*.c", "mapping": KEYWORD}, "a.c", False, id="un"
        ),
        pytest.param(
            {"unmatch": "b", "mapping": KEYWORD}, "a", False, id="no condition that holds"
        ),
        pytest.param(
            {"match": "^b+$", "match_pattern": "regex", "mapping": KEYWORD},
            "a.bb",
            True,
            id="regex",
        ),
        pytest.param({"match": "b", "runtime": KEYWORD}, "b", False, id="runtime field"),
        pytest.param({"mapping": KEYWORD}, "b", False, id="no condition at all"),
        pytest.param(
            {"match_mapping_type": "string", "mapping": {"type": "{dynamic_type}"}},
            "b",
            False,
            id="text by placeholder",
        ),
        pytest.param(
            {"match": "b", "mapping": {"fields": {"k": KEYWORD}}}, "b", True, id="multi-field only"
        ),
        pytest.param(
            {"match_mapping_type": "long", "mapping": KEYWORD}, "b", True, id="a number came first"
        ),
        pytest.param(
            {"match": "b", "mapping": {"type": "text", "copy_to": "copy_of_{name}"}},
            "b",
            True,
            id="copy by placeholder",
        ),
        pytest.param(
            {"match_mapping_type": "object", "mapping": {"type": "flattened"}},
            "a.b",
            True,
            id="objects as flattened",
        ),
    ],
)
def test_dynamic_templates_are_matched_as_elasticsearch_does(
    template: dict[str, Any], path: str, unsafe: bool
) -> None:
    properties = {"copy_of_b": KEYWORD}
    rules = rules_of({"dynamic_templates": [{"t": template}], "properties": properties})
    assert (rules.find(path) is not None) == unsafe


def test_the_first_dynamic_template_wins() -> None:
    safe = {"safe": {"match_mapping_type": "string", "mapping": {"type": "text"}}}
    assert rules_of({"dynamic_templates": [safe, STRINGS_AS_KEYWORDS]}).find("f") is None
    assert rules_of({"dynamic_templates": [STRINGS_AS_KEYWORDS, safe]}).find("f") is not None


@pytest.mark.parametrize(
    ("mappings", "unsafe"),
    [
        pytest.param({}, True, id="by default"),
        pytest.param({"dynamic": False}, False, id="false"),
        pytest.param({"dynamic": "strict"}, False, id="strict"),
        pytest.param({"dynamic": "runtime"}, True, id="runtime, though a template maps it"),
        pytest.param({"properties": {"o": {"dynamic": "false"}}}, False, id="false on the way"),
        pytest.param(
            {"dynamic": False, "properties": {"o": {"dynamic": True}}}, True, id="true again"
        ),
        pytest.param({"properties": {"o": {"enabled": False}}}, False, id="disabled"),
        pytest.param({"properties": {"o": {"type": "nested"}}}, True, id="nested"),
        pytest.param({"properties": {"o": {"type": "geo_point"}}}, False, id="under a leaf"),
    ],
)
def test_dynamic_mapping_may_be_off(mappings: dict[str, Any], unsafe: bool) -> None:
    rules = rules_of({"dynamic_templates": [STRINGS_AS_KEYWORDS]} | mappings)
    assert (rules.find("o.p.f") is not None) == unsafe


def test_without_subobjects_the_whole_dotted_name_is_matched() -> None:
    templates = [{"t": {"match": "o.f", "mapping": KEYWORD}}]
    assert rules_of({"subobjects": False, "dynamic_templates": templates}).find("o.f")
    assert not rules_of({"dynamic_templates": templates}).find("o.f")


def test_many_paths_do_not_fill_the_memory() -> None:
    rules = rules_of({"dynamic_templates": [STRINGS_AS_KEYWORDS]})
    assert all(rules.find(f"f{number}") for number in range(DISTINCT_PATHS_MAX + 1))
    assert len(rules._found) == 1


def templates_of(**bodies: dict[str, Any]) -> Templates:
    return Templates(
        {}, {name: Template("index_template", name, body) for name, body in bodies.items()}
    )


def index_template(pattern: str, field: dict[str, Any], priority: int) -> dict[str, Any]:
    return {
        "index_patterns": [pattern],
        "priority": priority,
        "template": {"mappings": {"properties": {"f": field}}},
    }


def test_the_matching_template_of_the_highest_priority_counts() -> None:
    book = FieldRuleBook(
        templates_of(
            low=index_template("logs-*", KEYWORD, 1),
            high=index_template("logs-app-*", {"type": "text"}, 2),
        )
    )
    assert book.rules_for("logs-db-x").find("f")
    assert book.rules_for("logs-app-x").is_safe
    assert book.rules_for("metrics").is_safe
    assert book.rules_for("logs-db-x") is book.rules_for("logs-db-y")


@pytest.mark.parametrize(
    "rule", [{"field": ""}, {"field": "a", "action": "cut"}, {"field": "a", "note": 1}], ids=str
)
def test_a_policy_that_says_nothing_sensible_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Oversize.model_validate(rule)


def test_relying_on_an_ignore_above_that_is_not_there_stops_the_start() -> None:
    templates = templates_of(t=index_template("logs-*", KEYWORD, 1))
    with pytest.raises(ConfigError, match=r"oversize: f: .* template t maps it without one"):
        FieldRuleBook(templates, [Oversize(field="f", action="ignore_above")])


def test_a_dynamic_template_with_a_broken_pattern_stops_the_start() -> None:
    body = index_template("logs-*", KEYWORD, 1)
    broken = {"match": "(", "match_pattern": "regex", "mapping": KEYWORD}
    body["template"]["mappings"]["dynamic_templates"] = [{"b": broken}]
    with pytest.raises(ConfigError, match=r"index template t: dynamic_templates\.b: "):
        FieldRuleBook(templates_of(t=body))


def test_a_marker_with_a_dot_stops_the_start() -> None:
    with pytest.raises(ConfigError, match=r"oversize_marker: 'a\.b'"):
        FieldRuleBook(templates_of(), marker="a.b")


def test_shipped_templates_protect_every_string_and_map_the_marker() -> None:
    rules = FieldRuleBook(load(default_directory())).rules_for("logs-app-default")
    for path in ("message", "error.stack_trace", "service.name", "tags", "not.mapped.at.all"):
        assert rules.find(path) is None
    assert rules.short_lines_are_safe
    assert rules.marker == "ingest"

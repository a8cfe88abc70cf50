"""Templates as a real node takes them, matches them and gives them back."""

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from elasticsearch import Elasticsearch

from ingest.errors import ConfigError
from ingest.mappings import Change, apply, plan
from ingest.trimmer.field_rules import FieldRuleBook
from ingest.trimmer.index_templates import Template, Templates, default_directory, load
from ingest.trimmer.trimmer import trim


@pytest.fixture
def client(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_url, request_timeout=60, max_retries=0) as client:
        yield client


def shipped(stem: str) -> Templates:
    """The shipped templates under names, and for targets, that no other test uses."""
    original = load(default_directory())
    components = {
        f"{stem}-{name}": Template(t.kind, f"{stem}-{name}", copy.deepcopy(t.body))
        for name, t in original.components.items()
    }
    body = copy.deepcopy(original.indices["ingest-logs"].body)
    body["composed_of"] = [f"{stem}-{name}" for name in body["composed_of"]]
    body["index_patterns"] = [f"{stem}-*"]
    return Templates(components, {stem: Template("index_template", stem, body)})


def changed(templates: Templates, name: str, **parts: Any) -> Templates:
    template = templates.components[name]
    body = copy.deepcopy(template.body) | parts
    return Templates(
        {**templates.components, name: Template(template.kind, name, body)}, templates.indices
    )


def states(changes: list[Change]) -> set[str]:
    return {change.state for change in changes}


def test_shipped_templates_are_created_once_and_then_the_same(
    client: Elasticsearch, index_name: str
) -> None:
    templates = shipped(index_name)
    assert states(plan(client, templates)) == {"create"}
    done = apply(client, templates)
    assert [change.template.kind for change in done] == ["component_template"] * 3 + [
        "index_template"
    ]
    assert states(plan(client, templates)) == {"same"}
    assert apply(client, templates) == []


def test_what_a_newer_cluster_adds_to_a_template_is_no_difference(
    elasticsearch_9_url: str, index_name: str
) -> None:
    templates = shipped(index_name)
    with Elasticsearch(elasticsearch_9_url, request_timeout=60, max_retries=0) as client:
        apply(client, templates)
        assert states(plan(client, templates)) == {"same"}


def test_an_edited_template_of_ours_is_put_back(client: Elasticsearch, index_name: str) -> None:
    templates = shipped(index_name)
    name = f"{index_name}-ingest-ecs@mappings"
    edited = copy.deepcopy(templates.components[name].body["template"])
    edited["mappings"]["properties"]["message"] = {"type": "keyword"}
    apply(client, changed(templates, name, template=edited))
    (change,) = apply(client, templates)
    assert (change.template.name, change.state) == (name, "update")
    removed = [line for line in change.difference.splitlines() if line.startswith("- ")]
    assert [line.split() for line in removed] == [["-", '"type":', '"keyword"']]
    assert states(plan(client, templates)) == {"same"}


def test_a_higher_version_is_put_over_a_lower_one(client: Elasticsearch, index_name: str) -> None:
    templates = shipped(index_name)
    apply(client, templates)
    name = f"{index_name}-ingest-ecs@mappings"
    newer = changed(templates, name, _meta={"managed_by": "ingest", "version": 2})
    (change,) = apply(client, newer)
    assert '+    "version": 2' in change.difference
    live = client.cluster.get_component_template(name=name)["component_templates"][0]
    assert live["component_template"]["_meta"]["version"] == 2


def test_newer_and_foreign_templates_stay_unless_forced(
    client: Elasticsearch, index_name: str
) -> None:
    templates = shipped(index_name)
    newer_name, foreign_name = (f"{index_name}-ingest-{n}@mappings" for n in ("ecs", "strings"))
    newer = changed(templates, newer_name, _meta={"managed_by": "ingest", "version": 2})
    apply(
        client, changed(newer, foreign_name, _meta={"managed_by": "us", "version": 1}), force=True
    )
    with pytest.raises(ConfigError) as raised:
        apply(client, templates)
    assert f"component_template {newer_name}: the cluster has a newer" in str(raised.value)
    assert f"component_template {foreign_name}: the cluster has one that is not" in str(
        raised.value
    )
    before = {change.template.name: change.state for change in plan(client, templates)}
    assert (before[newer_name], before[foreign_name]) == ("newer", "foreign")
    apply(client, templates, force=True)
    assert states(plan(client, templates)) == {"same"}


def test_a_template_without_meta_is_foreign(client: Elasticsearch, index_name: str) -> None:
    templates = shipped(index_name)
    name = f"{index_name}-ingest-marker@mappings"
    client.cluster.put_component_template(name=name, template={"mappings": {}})
    with pytest.raises(ConfigError, match="not managed by ingest"):
        apply(client, templates)
    assert states(plan(client, templates)) == {"create", "foreign"}  # nothing was put


def test_settings_and_patterns_compare_however_they_are_written(
    client: Elasticsearch, index_name: str
) -> None:
    body = {
        "index_patterns": f"{index_name}-*",
        "composed_of": [],
        "template": {"settings": {"mapping.ignore_above": 8191, "index": {"hidden": True}}},
        "_meta": {"managed_by": "ingest", "version": 1},
    }
    templates = Templates({}, {index_name: Template("index_template", index_name, body)})
    assert len(apply(client, templates)) == 1
    assert states(plan(client, templates)) == {"same"}


def test_shipped_templates_take_documents_that_others_would_refuse(
    client: Elasticsearch, index_name: str
) -> None:
    templates = shipped(index_name)
    apply(client, templates)
    target = f"{index_name}-app-default"
    rules = FieldRuleBook(templates).rules_for(target)
    assert rules.marker == "ingest"
    documents: list[dict[str, Any]] = [
        {"message": "€" * 20_000, "service": {"name": "a" * 40_000}, "tags": ["😀" * 20_000]},
        {"unmapped": {"deep": "€" * 10_922}, "labels": {"a": "€" * 20_000, "b": 7}},
        {"day": "2026-01-01", "host": {"ip": "nowhere"}, "event": {"duration": "long"}},
        {"day": "never", "error.stack_trace": "\n" * 40_000, "url.full": "x" * 33_000},
        {"ingest": {"oversize": [{"field": "f", "action": "trim", "bytes": 40_000, "kept": 1}]}},
    ]
    lines = [orjson.dumps({"@timestamp": "2026-01-01T00:00:00Z"} | each) for each in documents]
    assert all(trim(line, orjson.loads(line), rules) is None for line in lines)
    operations: list[Any] = []
    for line in lines:
        operations += ({"create": {}}, line)
    answer = client.bulk(index=target, operations=operations)
    assert [item["create"]["status"] for item in answer["items"]] == [201] * len(documents)
    stored_in = answer["items"][0]["create"]["_index"]
    assert stored_in.startswith(f".ds-{target}-")


def test_templates_are_composed_as_the_node_composes_them(
    client: Elasticsearch, index_name: str
) -> None:
    templates = shipped(index_name)
    apply(client, templates)
    ours = templates.compose(templates.indices[index_name]).mappings
    simulated = client.indices.simulate_index_template(name=f"{index_name}-a-b")["template"]
    theirs = simulated["mappings"]
    assert ours["properties"].keys() - {"data_stream_timestamp"} == theirs["properties"].keys()
    for name in ("message", "labels", "service", "ingest", "error"):
        assert ours["properties"][name] == theirs["properties"][name]
    names = [name for each in theirs["dynamic_templates"] for name in each]
    assert names == [name for each in ours["dynamic_templates"] for name in each]

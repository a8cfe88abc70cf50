"""`ingest mappings`: what differs is shown, what is not ours stays, the rest is put."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.trimmer.index_templates import default_directory
from tests.fakes import ScriptedElasticsearch, refuse
from tests.unit.commands.rig import Run, shown


@pytest.fixture
def mappings(run: Run, scripted_elasticsearch: ScriptedElasticsearch) -> Run:
    """`ingest mappings …` with the scripted node."""

    def run_mappings(command: str, *options: object) -> tuple[int, str, str]:
        return run("mappings", command, "--elasticsearch", scripted_elasticsearch.url, *options)

    return run_mappings


def states(out: str) -> list[str]:
    return [line.split()[0] for line in out.splitlines()]


def live(es: ScriptedElasticsearch, name: str) -> dict[str, Any]:
    found: dict[str, Any] = es.indices.templates.components[name]
    return found


def test_plan_shows_what_apply_would_do_and_changes_nothing(
    mappings: Run, scripted_elasticsearch: ScriptedElasticsearch
) -> None:
    code, out, err = mappings("plan")
    assert (code, err, states(out)) == (0, "", ["create"] * 4)
    assert "component_template ingest-ecs@mappings (version " in out
    assert scripted_elasticsearch.indices.templates.components == {}


def test_apply_installs_once(mappings: Run) -> None:
    code, out, _ = mappings("apply")
    assert (code, states(out)) == (0, ["create"] * 4)
    assert states(mappings("plan")[1]) == ["same"] * 4
    code, out, _ = mappings("apply")
    assert (code, out) == (0, "nothing to do: the cluster has all templates\n")


def test_json_shows_each_template(mappings: Run) -> None:
    changes = shown(mappings("plan", "--json")[1])
    assert [(each["kind"], each["state"]) for each in changes] == [
        *[("component_template", "create")] * 3,
        ("index_template", "create"),
    ]
    mappings("apply", "--json")
    assert mappings("apply", "--json")[1] == ""


def test_an_edited_template_is_shown_with_its_difference_and_put_back(
    mappings: Run, scripted_elasticsearch: ScriptedElasticsearch
) -> None:
    mappings("apply")
    name = "ingest-ecs@mappings"
    live(scripted_elasticsearch, name)["template"]["mappings"]["properties"]["message"] = {
        "type": "keyword"
    }
    _, out, _ = mappings("plan")
    assert f"update   component_template {name}" in out
    removed = [line.split() for line in out.splitlines() if line.startswith("- ")]
    assert removed == [["-", '"type":', '"keyword"']]
    assert states(mappings("apply")[1])[0] == "update"
    assert states(mappings("plan")[1]) == ["same"] * 4


@pytest.mark.parametrize(
    ("meta", "state", "reason"),
    [
        ({"managed_by": "ingest", "version": 999}, "newer", "the cluster has a newer version"),
        ({"managed_by": "others", "version": 1}, "foreign", "not managed by ingest"),
        ({}, "foreign", "not managed by ingest"),
    ],
    ids=["newer", "foreign", "nobody's"],
)
def test_newer_and_foreign_templates_stay_unless_forced(
    mappings: Run,
    scripted_elasticsearch: ScriptedElasticsearch,
    meta: dict[str, Any],
    state: str,
    reason: str,
) -> None:
    name = "ingest-strings@mappings"
    theirs = {"template": {"mappings": {}}, "_meta": meta}
    scripted_elasticsearch.indices.templates.put_component(name, theirs)
    assert sorted(states(mappings("plan")[1])) == sorted(["create"] * 3 + [state])
    code, out, err = mappings("apply")
    assert (code, out) == (1, "")
    assert f"component_template {name}" in err
    assert reason in err
    assert list(scripted_elasticsearch.indices.templates.components) == [name]
    assert mappings("apply", "--force")[0] == 0
    assert live(scripted_elasticsearch, name)["_meta"]["managed_by"] == "ingest"


def test_templates_of_another_directory(mappings: Run, tmp_path: Path) -> None:
    (tmp_path / "component_templates").mkdir()
    body = {"template": {"mappings": {}}, "_meta": {"managed_by": "ingest", "version": 3}}
    (tmp_path / "component_templates" / "mine.json").write_text(json.dumps(body))
    code, out, _ = mappings("plan", "--mappings-dir", tmp_path)
    assert (code, out) == (0, "create   component_template mine (version 3)\n")
    assert default_directory() != tmp_path


def test_what_the_node_refuses_is_told(
    mappings: Run, scripted_elasticsearch: ScriptedElasticsearch
) -> None:
    scripted_elasticsearch.script(refuse(403), path="/_component_template/ingest-ecs@mappings")
    code, _, err = mappings("plan")
    assert code == 1
    assert err.startswith("ingest: elasticsearch refused: 403")


def test_without_a_cluster_it_says_so(
    run: Run, scripted_elasticsearch: ScriptedElasticsearch
) -> None:
    assert run("mappings", "plan")[::2] == (
        1,
        "ingest: elasticsearch: give --elasticsearch http://HOST:PORT\n",
    )
    scripted_elasticsearch.stop()
    code, _, err = run("mappings", "plan", "--elasticsearch", scripted_elasticsearch.url)
    assert code == 1
    assert err.startswith("ingest: elasticsearch can not be reached: ")

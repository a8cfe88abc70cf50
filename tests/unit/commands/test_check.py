"""`ingest check`: faults of a configuration, and where documents would go."""

from pathlib import Path

import pytest

from tests.unit.commands.rig import Run, shown

RULES = """
[[routes]]
name = "services"
when = { field = "service.name", exists = true }
target = "logs-{service.name|unknown}-default"

[[routes]]
name = "audit"
when = [{ header = "x-team", equals = "security" }, { query = "kind", one_of = ["a", "b"] }]
target = "audit"
action = "index"
id = { field = "event.id" }
ingest_pipeline = "audit"

[[routes]]
name = "quiet"
when = { field = "debug", equals = true }
reject = "debug documents are not kept"
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "ingest.toml"
    file.write_text(RULES)
    return file


def test_a_good_configuration_is_said_to_be(run: Run, rules: Path) -> None:
    code, out, err = run("check", "--config", rules)
    assert (code, out, err) == (0, "", "configuration is good: 3 routing rules\n")


def test_a_document_is_shown_with_each_rule_that_was_asked(run: Run, rules: Path) -> None:
    code, out, _ = run("check", "--config", rules, given=b'{"service":{"name":"Web Shop"}}\n')
    assert code == 0
    assert "services: " in out.splitlines()[0]
    assert ": yes" in out.splitlines()[0]
    assert "logs-web_shop-default" in out
    assert "quiet" not in out


def test_json_is_one_object_a_document(run: Run, rules: Path) -> None:
    documents = b'{"service.name":"a"}\n\n{"debug":true}\n{}\n'
    code, out, _ = run("check", "--config", rules, "--json", given=documents)
    first, second, third = shown(out)
    assert code == 1
    assert (first["rule"], first["target"]) == ("services", "logs-a-default")
    assert first["action"] == "create"
    assert second["rule"] == "quiet"
    assert second["rejected"] == "route_rejected: debug documents are not kept"
    assert [each["rule"] for each in second["asked"]] == ["services", "audit", "quiet"]
    assert third["target"] == "logs-generic-default"


def test_the_request_can_be_given(run: Run, rules: Path) -> None:
    code, out, _ = run(
        *("check", "--config", rules, "--json"),
        *("--header", "X-Team: security", "--query", "kind=b"),
        given=b'{"event":{"id":"e7"}}',
    )
    (document,) = shown(out)
    assert code == 0
    assert (document["rule"], document["target"], document["action"]) == ("audit", "audit", "index")
    assert (document["id"], document["ingest_pipeline"]) == ("event.id", "audit")


def test_a_named_route_skips_the_conditions(run: Run, rules: Path) -> None:
    code, out, _ = run("check", "--config", rules, "--json", "--route", "services", given=b"{}")
    assert (code, shown(out)[0]["target"]) == (0, "logs-unknown-default")
    code, out, _ = run("check", "--config", rules, "--json", "--route", "nobody", given=b"{}")
    assert code == 1
    assert shown(out)[0]["rejected"].startswith("not_found: ")


def test_a_pretty_printed_document_is_one(run: Run) -> None:
    code, out, _ = run("check", "--json", given=b'{\n  "data_stream": {\n "dataset": "x"\n}\n}\n')
    assert code == 0
    assert [each["target"] for each in shown(out)] == ["logs-x-default"]


@pytest.mark.parametrize(
    ("document", "kind"),
    [(b"{", "malformed_json"), (b"[1]", "not_an_object"), (b"\xff", "malformed_json")],
)
def test_what_is_no_document_is_said_and_the_next_is_shown(
    run: Run, document: bytes, kind: str
) -> None:
    code, out, _ = run("check", "--json", given=document + b"\n{}\n")
    first, second = shown(out)
    assert code == 1
    assert first["rejected"].startswith(f"{kind}: ")
    assert second["target"] == "logs-generic-default"


@pytest.mark.parametrize("option", ["--header", "--query"])
def test_half_an_option_is_refused(run: Run, option: str) -> None:
    code, _, err = run("check", option, "alone", given=b"{}")
    assert code == 1
    assert err.startswith("ingest: 'alone': write NAME")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("workers = 0", "workers"),
        ('[[routes]]\ntarget = "UPPER"', "routes[0]"),
        ('[[routes]]\ntarget = "a"\n[[routes]]\ntarget = "b"', "routes[1]"),
        ('mappings_dir = "/no/such"', "/no/such: no such directory of templates"),
    ],
)
def test_a_bad_configuration_is_named_and_ends_with_1(
    run: Run, tmp_path: Path, content: str, named: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(content)
    code, out, err = run("check", "--config", file)
    assert (code, out) == (1, "")
    assert err.startswith("ingest: ")
    assert named in err

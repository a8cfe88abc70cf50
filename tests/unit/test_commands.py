"""The command line: what each command prints, and its exit code: 0, 1 (failed), 2 (usage)."""

import http.server
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ingest.__main__ import main
from ingest.spool.format import encode_file_header, try_file_header
from ingest.trimmer.index_templates import default_directory
from tests.fakes import ScriptedElasticsearch, refuse
from tests.unit.spool.rig import Rig, payload_of

Run = Callable[..., tuple[int, str, str]]

COMMANDS = [
    [],
    ["serve"],
    ["check"],
    ["profile"],
    ["mappings"],
    ["mappings", "plan"],
    ["mappings", "apply"],
    ["spool"],
    ["spool", "check"],
    ["spool", "dump"],
]


class Input(io.TextIOWrapper):
    """Standard input that holds these bytes, or a terminal."""

    def __init__(self, content: bytes | None):
        super().__init__(io.BytesIO(content or b""))
        self._is_terminal = content is None

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs a command in this process: exit code, standard output, standard error."""
    for name in os.environ:
        if name.startswith("INGEST_"):
            monkeypatch.delenv(name)

    def run(*arguments: object, given: bytes | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", Input(given))
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        said = capsysbinary.readouterr()
        return code, said.out.decode(), said.err.decode()

    return run


# The command line itself


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_explains_itself(run: Run, command: list[str]) -> None:
    code, out, err = run(*command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: ")
    assert "Traceback" not in out


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["unknown"],
        ["mappings"],
        ["spool"],
        ["spool", "repair"],
        ["check", "--unknown"],
        ["check", "--workers"],
        ["mappings", "plan", "--force"],
        ["mappings", "plan", "--listen", "h:1"],
        ["profile", "--seconds", "ten"],
        ["profile", "--format", "xml"],
        ["serve", "--admin-token", "seen-by-all"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(run: Run, command: list[str]) -> None:
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert "usage: ingest" in err


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out.split()[0]) == (0, "ingest")


def test_the_module_is_the_program(tmp_path: Path) -> None:
    """Exit codes as a shell sees them."""
    missing = tmp_path / "missing.toml"
    codes = [
        subprocess.run(
            [sys.executable, "-m", "ingest", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        ).returncode
        for arguments in (["check"], ["check", f"--config={missing}"], ["check", "--no-such"])
    ]
    assert codes == [0, 1, 2]


# check


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


def shown(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


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


# spool


LATER = UUID("1f6a1c9e-6d0b-4c7e-9a53-2f1f64a6c001")


def leave(data_dir: Path, records: int = 3, settled: int = 1, **options: Any) -> Rig:
    """The directory of a process that is gone: records of two documents each."""
    rig = Rig(data_dir, **options)
    appended = [rig.append(count=2) for _ in range(records)]
    rig.settle(*appended[:settled])
    rig.tick()
    rig.spool.close()
    return rig


def break_record(rig: Rig, sequence: int) -> None:
    (file,) = rig.path.glob("*.spool")
    payload = payload_of(sequence)
    file.write_bytes(file.read_bytes().replace(payload, b"?" + payload[1:]))


def test_check_shows_what_is_left(run: Run, tmp_path: Path) -> None:
    rig = leave(tmp_path)
    code, out, err = run("spool", "check", "--data-dir", tmp_path)
    assert (code, err) == (0, "")
    directory, file = out.splitlines()
    assert directory == f"{rig.path.name}  nobody's, 4 documents not settled"
    assert "3 records, 6 documents, 4 not settled" in file


def test_check_can_be_read_by_machines(run: Run, tmp_path: Path) -> None:
    leave(tmp_path)
    leave(tmp_path, settled=0, directory_id=LATER)
    code, out, _ = run("spool", "check", "--json", "--data-dir", tmp_path)
    assert code == 0
    assert [each["unsettled_documents"] for each in shown(out)] == [4, 6]
    assert [each["is_damaged"] for each in shown(out)] == [False, False]
    assert shown(out)[0]["files"][0]["records"] == 3
    assert shown(out)[0]["cursor"]["sequence"] == 2


def test_check_fails_where_something_is_damaged(run: Run, tmp_path: Path) -> None:
    rig = leave(tmp_path)
    break_record(rig, 2)
    code, out, _ = run("spool", "check", "--data-dir", tmp_path)
    assert code == 1
    assert "    damaged: 136 bytes at " in out


def test_a_torn_tail_is_shown_and_no_damage(run: Run, tmp_path: Path) -> None:
    rig = leave(tmp_path)
    (file,) = rig.path.glob("*.spool")
    file.write_bytes(file.read_bytes()[:-5])
    code, out, _ = run("spool", "check", "--data-dir", tmp_path)
    assert code == 0
    assert "    torn tail: 131 bytes at " in out


def test_check_names_what_it_leaves_alone(run: Run, tmp_path: Path) -> None:
    rig = leave(tmp_path)
    (rig.path / "notes.txt").write_text("by hand")
    _, out, _ = run("spool", "check", "--data-dir", tmp_path)
    assert "  notes.txt  not ours; left alone" in out


def test_check_says_that_a_living_process_writes(run: Run, tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.append()
    _, out, _ = run("spool", "check", "--data-dir", tmp_path)
    rig.spool.close()
    assert "  in use, 1 documents not settled" in out


def test_dump_is_what_is_not_settled_byte_by_byte(run: Run, tmp_path: Path) -> None:
    leave(tmp_path)
    code, out, err = run("spool", "dump", "--data-dir", tmp_path)
    assert (code, err) == (0, "")
    assert out.encode() == payload_of(2) + payload_of(4)
    _, out, _ = run("spool", "dump", "--all", "--data-dir", tmp_path)
    assert out.encode() == payload_of(0) + payload_of(2) + payload_of(4)


def test_dump_passes_over_damage(run: Run, tmp_path: Path) -> None:
    break_record(leave(tmp_path), 2)
    code, out, _ = run("spool", "dump", "--data-dir", tmp_path)
    assert (code, out.encode()) == (0, payload_of(4))


def test_dump_names_a_newer_version_and_reads_the_other_directories(
    run: Run, tmp_path: Path
) -> None:
    newer = leave(tmp_path)
    leave(tmp_path, settled=0, directory_id=LATER)
    (file,) = newer.path.glob("*.spool")
    header = try_file_header(file.read_bytes())
    assert header is not None
    file.write_bytes(encode_file_header(replace(header, version=9)))
    code, out, err = run("spool", "dump", "--data-dir", tmp_path)
    assert code == 1
    assert file.name in err
    assert out.encode() == payload_of(0) + payload_of(2) + payload_of(4)


@pytest.mark.parametrize("command", ["check", "dump"])
def test_looking_changes_nothing_and_makes_nothing(run: Run, tmp_path: Path, command: str) -> None:
    code, _, err = run("spool", command, "--data-dir", tmp_path)
    assert code == 1
    assert "no such directory; give --data-dir" in err
    assert list(tmp_path.iterdir()) == []
    leave(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert run("spool", command, "--data-dir", tmp_path)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


# mappings


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


# profile


class AdminPort(http.server.ThreadingHTTPServer):
    """Answers like `/debug/profile`; keeps what was asked."""

    def __init__(self, status: int, body: bytes):
        super().__init__(("127.0.0.1", 0), _Answering)
        self.status, self.body = status, body
        self.asked: list[tuple[str, str | None]] = []


class _Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, AdminPort)
        server.asked.append((self.path, self.headers["authorization"]))
        self.send_response(server.status)
        self.send_header("ingest-profile", "ingest 1, all workers, 3 s, 5 documents/s")
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, format: str, *args: object) -> None:
        """The test looks at `asked`."""


@pytest.fixture
def admin_port() -> Iterator[Callable[[int, bytes], AdminPort]]:
    started: list[AdminPort] = []

    def start(status: int, body: bytes) -> AdminPort:
        server = AdminPort(status, body)
        started.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def test_a_profile_is_written_to_a_file(
    run: Run,
    tmp_path: Path,
    admin_port: Callable[[int, bytes], AdminPort],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = admin_port(200, b"<svg/>")
    monkeypatch.setenv("INGEST_ADMIN_TOKEN", "for-tests")
    output = tmp_path / "flame.svg"
    admin = f"127.0.0.1:{server.server_port}"
    code, out, err = run(
        *("profile", "--admin", admin, "--seconds", 3, "--native", "--output", output)
    )
    assert (code, err) == (0, "")
    assert out == f"ingest 1, all workers, 3 s, 5 documents/s: {output}\n"
    assert output.read_bytes() == b"<svg/>"
    assert server.asked == [
        ("/debug/profile?seconds=3&format=flamegraph&worker=all&native=1", "Bearer for-tests")
    ]


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (409, b'{"error":{"type":"t","reason":"try again"},"status":409}', "try again"),
        (404, b"<html>not ours</html>", "404 Not Found"),
        (400, b'{"error":"not ours"}', "400 Bad Request"),
    ],
    ids=["busy", "no service of ours", "JSON of others"],
)
def test_a_refused_profile_says_why_and_writes_nothing(
    run: Run,
    tmp_path: Path,
    admin_port: Callable[[int, bytes], AdminPort],
    status: int,
    body: bytes,
    reason: str,
) -> None:
    server = admin_port(status, body)
    output = tmp_path / "flame.svg"
    admin = f"127.0.0.1:{server.server_port}"
    code, out, err = run("profile", "--admin", admin, "--output", output)
    assert (code, out, err) == (1, "", f"ingest: no profile: {reason}\n")
    assert not output.exists()


def test_no_service_is_said_to_be_none(run: Run, admin_port: Callable[..., AdminPort]) -> None:
    server = admin_port(200, b"")
    server.server_close()
    code, _, err = run("profile", "--admin", f"127.0.0.1:{server.server_port}")
    assert code == 1
    assert "no service answers there" in err

"""The command line itself: help, usage, and exit codes: 0, 1 (failed), 2 (usage)."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.commands.rig import Run

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

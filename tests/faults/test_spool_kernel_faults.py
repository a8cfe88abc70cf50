"""The same faults from the kernel itself: a real full disk, injected EIO, spent descriptors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.test_spool_kill import ROOT, drain_children, noted_in
from tests.required_tools import require_tool, skip_or_fail

PYTHON_CHILD = [sys.executable, "-m", "tests.faults.spool_child"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "INGEST_FAILPOINT": ""}


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("passing", [1, 3, 5])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_an_injected_fsync_error_never_leads_to_a_false_ack(
    tmp_path: Path, error: str, passing: int
) -> None:
    strace = require_tool("strace")
    trace = tmp_path / "trace"
    inject = f"inject=fdatasync:error={error}:when={passing}"
    command = [strace, "-f", "-e", "trace=fdatasync", "-e", inject, "-o", str(trace)]
    ended = _run([*command, *PYTHON_CHILD, "write", str(tmp_path)])
    if "PTRACE" in ended.stderr:
        skip_or_fail(f"strace that may trace: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    assert "(INJECTED)" in trace.read_text()
    failed, refused, acked = (noted_in(tmp_path, what) for what in ("failed", "refused", "acked"))
    assert failed | refused
    assert acked
    assert not failed & acked
    assert acked <= drain_children(tmp_path)


@pytest.mark.parametrize(
    ("options", "life"),
    [
        pytest.param("size=1m", "fill", id="full: it drains, and takes again"),
        pytest.param("ro", "refuse", id="read-only: it refuses acks"),
    ],
)
def test_a_real_disk_may_say_no(tmp_path: Path, options: str, life: str) -> None:
    mounting = [require_tool("unshare"), "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f'mount -t tmpfs -o {options} tmpfs "$0"'
    if _run([*mounting, mount, str(tmp_path)]).returncode:
        skip_or_fail("a kernel that lets this user mount a tmpfs in a namespace of its own")
    lived = [*mounting, f'{mount} && exec "$@"', str(tmp_path), *PYTHON_CHILD, life, str(tmp_path)]
    ended = _run(lived)
    assert ended.returncode == 0, ended.stderr


def test_a_process_without_descriptors_goes_on(tmp_path: Path) -> None:
    limit = [require_tool("prlimit"), "--nofile=64"]
    starved = _run([*limit, *PYTHON_CHILD, "starve", str(tmp_path)])
    assert starved.returncode == 0, starved.stderr

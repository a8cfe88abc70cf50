"""The same faults from the kernel itself: a real full disk, injected EIO, spent descriptors."""

import subprocess
from pathlib import Path

import pytest

from tests.faults.mounted import mounting
from tests.faults.spool_children import ROOT, child, child_environment, drain_children, noted_in
from tests.required_tools import require_tool, skip_or_fail


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
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
    ended = _run([*command, *child("write", tmp_path)])
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
    ended = _run([*mounting(options, tmp_path), *child(life, tmp_path)])
    assert ended.returncode == 0, ended.stderr


def test_a_process_without_descriptors_goes_on(tmp_path: Path) -> None:
    limit = [require_tool("prlimit"), "--nofile=64"]
    starved = _run([*limit, *child("starve", tmp_path)])
    assert starved.returncode == 0, starved.stderr

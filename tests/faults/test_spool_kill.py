"""kill -9 at every step of the spool's I/O, judged by what producer and Elasticsearch have seen.

`INGEST_TEST_SCALE=10` makes the random part ten times as long.
"""

import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from ingest.failpoints import NAMES
from tests.faults.scale import scaled
from tests.faults.spool_children import ROOT, child, child_environment, drain_children, noted_in

SEED = 20
SPOOL_NAMES = sorted(NAMES - {"bulk_send", "bulk_answer"})
PASSINGS = {"directory_fsync": 9, "rmdir": 0, "truncate": 0}  # else 5; 0: none in a first life
IN_A_FIRST_LIFE = [
    f"{name}:{passing}"
    for name in SPOOL_NAMES
    if (passing := PASSINGS.get(name.partition("_")[2], 5))
]


def _run(data_dir: Path, *failpoints: str) -> int:
    """Starts a process for each failpoint at once; returns the sum of their exit codes."""
    started = [_start(data_dir, failpoint) for failpoint in failpoints]
    for each in started:
        _, complaint = each.communicate(timeout=60)
        assert each.returncode in (0, -signal.SIGKILL), complaint.decode()
    return sum(each.returncode for each in started)


def _start(data_dir: Path, failpoint: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        child("write", data_dir),
        cwd=ROOT,
        env=child_environment(failpoint),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _judge(data_dir: Path) -> None:
    """Everything acked was delivered, by whomever; nothing was mangled; nothing is left."""
    acked = noted_in(data_dir, "acked")
    assert acked, "the run has acked nothing: it proves nothing"
    assert acked <= drain_children(data_dir)
    assert not noted_in(data_dir, "failed")


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process left that was killed in the middle of a write."""
    data_dir = tmp_path_factory.mktemp("torn")
    assert _run(data_dir, "mid_write:14") == -signal.SIGKILL
    return data_dir


@pytest.mark.parametrize("name", SPOOL_NAMES)
def test_a_kill_at_every_step_loses_nothing_that_was_acked(
    torn: Path, tmp_path: Path, name: str
) -> None:
    """Early on, so mostly while the orphan is drained."""
    shutil.copytree(torn, tmp_path, dirs_exist_ok=True)
    assert _run(tmp_path, f"{name}:1") == -signal.SIGKILL
    _judge(tmp_path)


@pytest.mark.parametrize("failpoint", IN_A_FIRST_LIFE)
def test_a_kill_in_the_thick_of_it_loses_nothing_that_was_acked(
    tmp_path: Path, failpoint: str
) -> None:
    assert _run(tmp_path, failpoint) == -signal.SIGKILL
    _judge(tmp_path)


@pytest.mark.parametrize("processes", [1, 2], ids=["alone", "adopting from each other"])
def test_processes_that_are_killed_again_and_again_lose_nothing(
    tmp_path: Path, processes: int
) -> None:
    randomness = random.Random(SEED)
    kills = 0
    for _ in range(scaled(6)):
        failpoints = [
            f"{randomness.choice(SPOOL_NAMES)}:{randomness.randint(1, 30)}"
            for _ in range(processes)
        ]
        kills += _run(tmp_path, *failpoints) // -signal.SIGKILL
    assert kills
    assert _run(tmp_path, "") == 0
    _judge(tmp_path)

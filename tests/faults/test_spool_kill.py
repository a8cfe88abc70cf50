"""kill -9 at every step of the spool's I/O, judged by what producer and Elasticsearch have seen.

`INGEST_TEST_SCALE=10` makes the random part ten times as long.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from ingest.failpoints import NAMES
from ingest.spool import adopt, orphans
from tests.faults.spool_child import COUNT, payload_of

SCALE = int(os.environ.get("INGEST_TEST_SCALE", "1"))
SEED = 20
SPOOL_NAMES = sorted(NAMES - {"bulk_send", "bulk_answer"})
PASSINGS = {"directory_fsync": 9, "rmdir": 0, "truncate": 0}  # else 5; 0: none in a first life
IN_A_FIRST_LIFE = [
    f"{name}:{passing}"
    for name in SPOOL_NAMES
    if (passing := PASSINGS.get(name.partition("_")[2], 5))
]
ROOT = Path(__file__).parents[2]


def _run(data_dir: Path, *failpoints: str) -> int:
    """Starts a process for each failpoint at once; returns the sum of their exit codes."""
    children = [_start(data_dir, failpoint) for failpoint in failpoints]
    for child in children:
        _, complaint = child.communicate(timeout=60)
        assert child.returncode in (0, -signal.SIGKILL), complaint.decode()
    return sum(child.returncode for child in children)


def _start(data_dir: Path, failpoint: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "tests.faults.spool_child", "write", str(data_dir)]
    environment = {**os.environ, "INGEST_FAILPOINT": failpoint, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe)


def noted_in(data_dir: Path, what: str) -> set[tuple[str, int]]:
    """Directory and first sequence of each record of which the journal says so."""
    return {(directory, first) for directory, first, _ in _noted(data_dir, what)}


def drain_children(data_dir: Path) -> set[tuple[str, int]]:
    """All that Elasticsearch has after the last spool is drained; each as it was appended."""
    delivered = set()
    for directory, first, crc in _noted(data_dir, "delivered"):
        assert crc == crc32(payload_of(directory, first))
        delivered.add((directory, first))
    for path in orphans(data_dir):
        orphan = adopt(path)
        assert orphan is not None
        for recovered in orphan.records():
            assert recovered.payload == payload_of(path.name, recovered.first_sequence)
            assert recovered.count == COUNT
            delivered.add((path.name, recovered.first_sequence))
            orphan.settle(range(recovered.first_sequence, recovered.first_sequence + COUNT))
        orphan.remove()
    left = [path.name for path in (data_dir / "spool").iterdir()]
    assert left in ([], ["quarantine"])
    return delivered


def _noted(data_dir: Path, what: str) -> Iterator[tuple[str, int, int]]:
    for line in (data_dir / "journal").read_text().splitlines():
        kind, directory, first, crc = line.split()
        if kind == what:
            yield directory, int(first), int(crc)


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
    for _ in range(6 * SCALE):
        failpoints = [
            f"{randomness.choice(SPOOL_NAMES)}:{randomness.randint(1, 30)}"
            for _ in range(processes)
        ]
        kills += _run(tmp_path, *failpoints) // -signal.SIGKILL
    assert kills
    assert _run(tmp_path, "") == 0
    _judge(tmp_path)

"""Processes that a measurement starts: pinned, logged to a file, always ended by their ids."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from profiling import cpu

START_S = 30.0
STOP_S = 20.0
POLL_S = 0.02


class BenchError(Exception):
    """Something did not start, answer or end; the text says what, with the end of its log."""


@contextmanager
def started(command: Sequence[str], log: Path, cores: set[int] | None) -> Iterator[int]:
    """The id of the process, which runs in a session of its own so that Ctrl-C reaches only us."""
    with cpu.pinned(cores), log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        _end(process)


def wait_for_line(pid: int, log: Path, pattern: re.Pattern[str]) -> re.Match[str]:
    """What the process writes when it is ready; raises `BenchError` when it ends or takes long."""
    wait_until(lambda: pattern.search(log.read_text()) or not cpu.is_running(pid))
    match = pattern.search(log.read_text())
    if match is None:
        raise BenchError(f"process {pid} ended or was not ready in {START_S:.0f} s:\n{end_of(log)}")
    return match


def end_of(log: Path, lines: int = 20) -> str:
    return "\n".join(log.read_text().splitlines()[-lines:])


def wait_until(condition: Callable[[], object], limit_s: float = START_S) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask, wait, then kill what is left of it and of what it started."""
    family = cpu.family(process.pid)
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in filter(cpu.is_running, family[1:]):
        os.kill(pid, signal.SIGKILL)

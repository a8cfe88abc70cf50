"""CPU time, memory and cores of processes, as Linux counts them in /proc."""

import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True, frozen=True)
class Cpu:
    """CPU time of all threads, those that ended included; steps of 10 ms on most machines."""

    user_s: float = 0.0
    system_s: float = 0.0

    def __add__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user_s + other.user_s, self.system_s + other.system_s)

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user_s - other.user_s, self.system_s - other.system_s)


def cpu_of(pids: Iterable[int]) -> Cpu:
    """The sum over these processes; raises FileNotFoundError where one is gone."""
    total = Cpu()
    for pid in pids:
        fields = _stat(pid)
        total += Cpu(int(fields[11]) / TICKS_PER_S, int(fields[12]) / TICKS_PER_S)
    return total


def peak_bytes(pid: int) -> int:
    """The largest resident memory since the process began (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0  # a zombie has none


def family(pid: int) -> list[int]:
    """The process and all that descend from it, oldest first."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended while we looked
    found = [pid]
    for ancestor in found:
        found += sorted(child for child, parent in parents.items() if parent == ancestor)
    return found


def is_running(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    try:
        return _stat(pid)[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def split_cores() -> tuple[set[int] | None, set[int] | None]:
    """One core for what is measured, all others for the rest; Nones where that can't be done."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    first, *others = sorted(os.sched_getaffinity(0))
    return ({first}, set(others)) if others else (None, None)


@contextmanager
def pinned(cores: set[int] | None) -> Iterator[None]:
    """Processes that are started inside stay on these cores; None leaves them free."""
    if cores is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def machine() -> str:
    """What a figure depends on, in one line."""
    return (
        f"{os.cpu_count()} cores {platform.machine()}, {platform.system()} {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, … (proc(5) counts from 3)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

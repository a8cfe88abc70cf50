"""Profiles of a real busy process by the real py-spy, and what is said where that can't be."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import orjson
import pytest

from ingest.errors import Unavailable
from ingest.supervision.profiler import (
    SECONDS_MAX,
    Busy,
    Format,
    NotPermitted,
    Profiler,
    with_caption,
)
from tests.required_tools import skip_or_fail

SVG = "{http://www.w3.org/2000/svg}"
BUSY = """
import os, threading, time
from ingest.tracing import allow_tracing

def spin_in_circles(until):
    while time.monotonic() < until:
        sum(range(1000))

allow_tracing(os.getppid())
print("spinning", flush=True)
threading.Thread(target=spin_in_circles, args=(time.monotonic() + 120,)).start()
"""
HOLD = """
import ctypes, sys

PTRACE_SEIZE = 0x4206
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
print(ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, None), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def busy_pid() -> Iterator[int]:
    """A process that spins, and lets this one look at it."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"spinning\n"
        try:
            stacks(process.pid)
        except NotPermitted as error:
            skip_or_fail(f"permission to trace processes: {error}")
        else:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture(scope="module")
def gone_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    return gone.pid


def record(profiler: Profiler, pid: int, form: Format = "raw") -> bytes:
    return asyncio.run(profiler.record(pid, 1, form, all_children=False, native=False))


@pytest.fixture(scope="module")
def flame_graph(busy_pid: int) -> bytes:
    return record(Profiler(), busy_pid, "flamegraph")


def stacks(*pids: int) -> str:
    return asyncio.run(Profiler().stacks(pids))


def test_a_flame_graph_is_an_image_with_our_title(flame_graph: bytes) -> None:
    image = with_caption(flame_graph, "2 < 3 & more").decode()
    texts = {text.get("id"): text.text for text in ElementTree.fromstring(image).iter(f"{SVG}text")}
    assert texts["title"] == "2 < 3 & more"
    assert "each running thread 100 times a second" in (texts["hint"] or "")
    assert "spin_in_circles" in image
    assert "py-spy record" not in image


def test_long_names_in_a_flame_graph_lose_their_end(flame_graph: bytes) -> None:
    image = with_caption(flame_graph, "title")
    assert b"var truncate_text_right = true;" in image


def test_a_flame_graph_names_no_folder_of_this_machine(flame_graph: bytes) -> None:
    """It may be shown to others."""
    image = flame_graph.decode()
    assert " (threading.py:" in image
    captioned = with_caption(image.encode(), "title").decode()
    for folder in {sys.prefix, sys.base_prefix, str(Path.cwd()), str(Path.home())} - {"/"}:
        assert folder not in captioned


def test_raw_lines_are_stacks_with_their_counts(busy_pid: int) -> None:
    lines = record(Profiler(), busy_pid).splitlines()
    assert lines
    counts = [int(line.rpartition(b" ")[2]) for line in lines if b"spin_in_circles" in line]
    assert sum(counts) > 0


def test_speedscope_is_json_in_its_schema(busy_pid: int) -> None:
    profile = orjson.loads(record(Profiler(), busy_pid, "speedscope"))
    assert profile["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert "spin_in_circles" in {frame["name"] for frame in profile["shared"]["frames"]}


def test_stacks_name_each_function_of_each_process(busy_pid: int) -> None:
    text = stacks(busy_pid, busy_pid)
    assert text.count("    spin_in_circles (") == 2
    assert text.count(f"Process {busy_pid}: ") == 2
    assert "Read without holding it" not in text


def test_stacks_are_shown_while_a_profile_is_taken(busy_pid: int) -> None:
    """Of the same process, for as long as the profile would take: it ends when we have seen."""

    async def look_twenty_times() -> list[str]:
        profiler = Profiler()
        recording = asyncio.create_task(
            profiler.record(busy_pid, SECONDS_MAX, "raw", all_children=False, native=False)
        )
        async with asyncio.timeout(60):
            while not _is_traced(busy_pid):
                await asyncio.sleep(0)
            seen = [await profiler.stacks([busy_pid]) for _ in range(20)]
        assert not recording.done()
        recording.cancel()
        await asyncio.wait([recording])
        return seen

    for text in asyncio.run(look_twenty_times()):
        assert text.count("    spin_in_circles (") == 1


def _is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return re.search(r"^TracerPid:\t0$", status, re.MULTILINE) is None


@contextmanager
def held(pid: int) -> Iterator[None]:
    """By another tracer, as by a debugger."""
    command = [sys.executable, "-c", HOLD, str(pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"0\n"
        yield


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("state", [held, stopped])
def test_stacks_of_a_process_that_can_not_be_stopped_are_read_all_the_same(
    busy_pid: int, state: Callable[[int], AbstractContextManager[None]]
) -> None:
    with state(busy_pid):
        text = stacks(busy_pid)
    assert text.startswith("Read without holding it")
    assert "    spin_in_circles (" in text


def test_a_process_that_is_gone_costs_only_its_part_of_the_stacks(
    busy_pid: int, gone_pid: int
) -> None:
    text = stacks(busy_pid, gone_pid, busy_pid)
    assert text.count("    spin_in_circles (") == 2
    assert f"\nProcess {gone_pid}: py-spy failed: " in text
    assert "Check that the process is running" in text


def test_a_second_profile_at_the_same_time_is_refused(busy_pid: int) -> None:
    async def run() -> bytes:
        profiler = Profiler()
        first = asyncio.create_task(
            profiler.record(busy_pid, 1, "raw", all_children=False, native=False)
        )
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="try again when it is done") as refusal:
            await profiler.record(busy_pid, 1, "raw", all_children=False, native=False)
        assert refusal.value.status == 409
        return await first

    assert asyncio.run(run())


@pytest.mark.parametrize("look", [partial(record, Profiler()), stacks])
def test_a_process_that_is_gone_is_said_to_be(gone_pid: int, look: Callable[[int], object]) -> None:
    with pytest.raises(Unavailable, match="py-spy failed: Error: Failed ") as failure:
        look(gone_pid)
    assert failure.value.kind == "profile_failed"


# A py-spy that says what it says elsewhere


def profiler_that(tmp_path: Path, script: str, patience_s: float = 30.0) -> Profiler:
    program = tmp_path / "py-spy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return Profiler(str(program), patience_s)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            "Permission Denied: Try running again with elevated permissions by going 'sudo !!'",
            id="ptrace scope",
        ),
        pytest.param(
            "Permission Denied\n\nIt looks like you are running in a docker container. "
            + "x" * 400,
            id="container",
        ),
        pytest.param(
            "Error: Failed to suspend process\nReason: Operation not permitted (os error 1)",
            id="root without the capability",
        ),
        pytest.param("Error: EPERM: Operation not permitted", id="name of the error"),
    ],
)
def test_a_forbidden_look_says_what_to_do(tmp_path: Path, said: str) -> None:
    (tmp_path / "said").write_text(said)
    profiler = profiler_that(tmp_path, f"cat {tmp_path}/said >&2; exit 1")
    with pytest.raises(NotPermitted, match=r"kernel\.yama\.ptrace_scope.*SYS_PTRACE") as refusal:
        record(profiler, 1)
    assert (refusal.value.status, refusal.value.kind) == (403, "tracing_forbidden")
    assert len(refusal.value.reason) < 600


def test_forbidden_stacks_say_what_to_do(tmp_path: Path) -> None:
    profiler = profiler_that(tmp_path, "echo 'Permission Denied' >&2; exit 1")
    with pytest.raises(NotPermitted, match="SYS_PTRACE"):
        asyncio.run(profiler.stacks([1, 2]))


def test_a_look_that_is_disturbed_is_taken_again(tmp_path: Path) -> None:
    """Twice; more often only without stopping the process."""
    count = f"echo x >> {tmp_path}/looks; [ $(wc -l < {tmp_path}/looks) -lt 3 ]"
    profiler = profiler_that(tmp_path, f'{count} && {{ echo EPERM >&2; exit 1; }}; echo "$@"')
    assert asyncio.run(profiler.stacks([77])) == "dump --pid 77\n"


def test_a_py_spy_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"py-spy does not start: .*none"):
        record(Profiler(str(tmp_path / "none")), 1)


def test_a_py_spy_that_hangs_is_ended(tmp_path: Path) -> None:
    profiler = profiler_that(tmp_path, "exec sleep 100", patience_s=0.05)
    with pytest.raises(Unavailable, match=r"py-spy did not end within 0\.05 s"):
        asyncio.run(profiler.stacks([1]))
    with pytest.raises(Unavailable, match=r"py-spy did not end within 1\.05 s"):
        record(profiler, 1)


def test_another_failure_is_told_and_the_next_profile_may_be_taken(tmp_path: Path) -> None:
    profiler = profiler_that(tmp_path, "echo 'Error:   no python\nhere' >&2; exit 3")
    for _ in range(2):
        with pytest.raises(Unavailable, match="py-spy failed: Error: no python here"):
            record(profiler, 1)


@pytest.mark.parametrize(("all_children", "native"), [(False, False), (True, True)])
def test_py_spy_is_asked_for_what_is_wanted(
    tmp_path: Path, all_children: bool, native: bool
) -> None:
    output = 'while [ "$1" ]; do [ "$1" = --output ] && o=$2; shift; done; echo "$all" > "$o"'
    profiler = profiler_that(tmp_path, f'all="$*"; {output}')
    asked = asyncio.run(
        profiler.record(77, 9, "speedscope", all_children=all_children, native=native)
    ).decode()
    assert asked.startswith("record --pid 77 --duration 9 --rate 100 --format speedscope --output")
    assert ("--subprocesses" in asked) == all_children
    assert ("--native" in asked) == native


def test_who_stops_waiting_ends_py_spy(tmp_path: Path) -> None:
    profiler = profiler_that(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 100")

    async def run() -> None:
        recording = asyncio.create_task(
            profiler.record(1, 1, "raw", all_children=False, native=False)
        )
        async with asyncio.timeout(20):
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
                await asyncio.sleep(0.01)
        recording.cancel()
        await asyncio.wait([recording])
        assert recording.cancelled()

    asyncio.run(run())
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()

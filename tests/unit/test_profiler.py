"""Profiles of a real busy process by the real py-spy, and what is said where that can't be."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from ingest.errors import Unavailable
from ingest.profiler import Busy, Format, NotPermitted, Profiler, with_title
from tests.required_tools import skip_or_fail

BUSY = """
import os, time
from ingest.profiler import allow_tracing

def spin_in_circles(until):
    while time.monotonic() < until:
        sum(range(1000))

allow_tracing(os.getppid())
print("spinning", flush=True)
spin_in_circles(time.monotonic() + 120)
"""


@pytest.fixture(scope="module")
def busy_pid() -> Iterator[int]:
    """A process that spins, and lets this one look at it."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"spinning\n"
        try:
            asyncio.run(Profiler().stacks([process.pid]))
        except NotPermitted as error:
            skip_or_fail(f"permission to trace processes: {error}")
        else:
            yield process.pid
        finally:
            process.kill()


def record(profiler: Profiler, pid: int, form: Format = "raw") -> bytes:
    return asyncio.run(profiler.record(pid, 1, form, all_children=False, native=False))


def test_a_flame_graph_is_an_image_with_our_title(busy_pid: int) -> None:
    image = with_title(record(Profiler(), busy_pid, "flamegraph"), "2 < 3 & more")
    assert image.startswith(b"<?xml")
    assert b">2 &lt; 3 &amp; more</text>" in image
    assert b"spin_in_circles" in image
    assert b"py-spy record" not in image


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
    text = asyncio.run(Profiler().stacks([busy_pid, busy_pid]))
    assert text.count("    spin_in_circles (") == 2
    assert f"Process {busy_pid}: " in text


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


def test_a_process_that_is_gone_is_said_to_be(busy_pid: int) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    with pytest.raises(Unavailable, match="py-spy failed: ") as failure:
        record(Profiler(), gone.pid)
    assert failure.value.kind == "profile_failed"


# A py-spy that says what it says elsewhere


def profiler_that(tmp_path: Path, script: str) -> Profiler:
    program = tmp_path / "py-spy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return Profiler(str(program))


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
    assert asked.startswith("record --pid 77 --duration 9 --format speedscope --output ")
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

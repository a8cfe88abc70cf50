"""py-spy on the workers while traffic flows: flame graphs and stacks, one at a time.

py-spy reads a process from outside and stops it for each sample, 100 times a second. It runs as a
child of the supervisor; workers name the supervisor as the one who may trace them
(`allow_tracing`), which is all that Linux' ptrace scope 1 asks for.
"""

import asyncio
import ctypes
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

from ingest.errors import RequestError, Unavailable

Format = Literal["flamegraph", "speedscope", "raw"]
FORMATS: tuple[Format, ...] = get_args(Format)
SECONDS_MAX = 300
MEDIA = {"flamegraph": "image/svg+xml", "speedscope": "application/json", "raw": "text/plain"}
_PR_SET_PTRACER = 0x59616D61
_MARGIN_S = 30.0
_FORBIDDEN = ("ermission", "not permitted", "EPERM")  # py-spy says it in several ways
_TITLE = re.compile(rb'(<text id="title"[^>]*>)[^<]*(</text>)')


class Busy(RequestError):
    """Somebody is profiling already."""

    status: ClassVar[int] = 409
    type: ClassVar[str] = "profile_running"


class NotPermitted(RequestError):
    """The kernel does not let us look."""

    status: ClassVar[int] = 403
    type: ClassVar[str] = "tracing_forbidden"


def allow_tracing(tracer_pid: int) -> None:
    """Let this process and its children be read by `tracer_pid` and its children (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(tracer_pid), 0, 0, 0)


class Profiler:
    """Runs py-spy (`program`, where it is not the installed one) for the admin port."""

    def __init__(self, program: str | None = None) -> None:
        self._lock = asyncio.Lock()
        self._program = program or _find_program()

    async def record(
        self, pid: int, seconds: int, form: Format, *, all_children: bool, native: bool
    ) -> bytes:
        """A profile of a process, of its children too if asked. Raises RequestError."""
        if self._lock.locked():
            raise Busy("a profile is being taken; try again when it is done")
        async with self._lock:
            with tempfile.TemporaryDirectory(prefix="ingest-profile-") as directory:
                output = Path(directory) / "profile"
                options = ["record", "--pid", str(pid), "--duration", str(seconds)]
                options += ["--format", form, "--output", str(output)]
                options += ["--subprocesses"] * all_children
                options += ["--native"] * native
                await self._run(options, seconds + _MARGIN_S)
                return output.read_bytes()

    async def stacks(self, pids: Sequence[int]) -> str:
        """Every thread's stack of each process, also when its event loop hangs."""
        async with self._lock:
            dumps = [await self._run(["dump", "--pid", str(pid)], _MARGIN_S) for pid in pids]
        return "\n".join(dumps)

    async def _run(self, options: Sequence[str], limit_s: float) -> str:
        process = await asyncio.create_subprocess_exec(
            self._program,
            *options,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            said, complained = await asyncio.wait_for(process.communicate(), limit_s)
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise _failure(complained.decode(errors="replace"))
        return said.decode(errors="replace")


def _failure(complaint: str) -> RequestError:
    words = " ".join(complaint.split())
    text = words[-300:]
    if any(sign in words for sign in _FORBIDDEN):
        return NotPermitted(
            f"the kernel forbids to trace the workers: {text}; set kernel.yama.ptrace_scope to 1 "
            "or 0, or give the service CAP_SYS_PTRACE (in a container: --cap-add SYS_PTRACE)"
        )
    return Unavailable(f"py-spy failed: {text}", type="profile_failed")


def with_title(flamegraph: bytes, title: str) -> bytes:
    """py-spy writes its own command line there."""
    safe = title.replace("&", "&amp;").replace("<", "&lt;").encode()
    return _TITLE.sub(lambda found: found[1] + safe + found[2], flamegraph, count=1)


def _find_program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "py-spy"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("py-spy")
    return found or "py-spy"

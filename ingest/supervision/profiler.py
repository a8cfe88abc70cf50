"""py-spy on the workers while traffic flows: flame graphs, one at a time, and stacks at any time.

py-spy reads a process from outside and stops it for each sample, 100 times a second. It costs a
worker under full load 2 % more CPU a document and 4 to 11 % of its documents/s, with native frames
26 to 30 % (`profiling/notes/profiler.md`). It runs as a child of the supervisor; workers name the
supervisor as the one who may trace them (`tracing.py`), which is all that Linux' ptrace scope 1
asks for.
"""

import asyncio
import html
import os
import re
import shutil
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, Literal, get_args

from ingest.errors import RequestError, Unavailable

Format = Literal["flamegraph", "speedscope", "raw"]
FORMATS: tuple[Format, ...] = get_args(Format)
SECONDS_MAX = 300
SAMPLES_PER_S = 100
MEDIA = {"flamegraph": "image/svg+xml", "speedscope": "application/json", "raw": "text/plain"}
# A process has one tracer at a time: a recording has it for the moment of a sample, a debugger for
# as long as it likes. Reading it all the same fails where the stack changes meanwhile.
_WAYS_TO_LOOK: tuple[list[str], ...] = (*[[]] * 3, *[["--nonblocking"]] * 5)
_UNHELD = "Read without holding it, for it is traced or stopped: a stack may be of two moments.\n"
_FORBIDDEN = ("ermission", "not permitted", "EPERM")  # py-spy says it in several ways
_TITLE = re.compile(rb'(<text id="title"[^>]*>)[^<]*')
_HINT = re.compile(rb'(?=<text id="matched"[^>]*( y="[^"]*"))')
_HOW_TO_READ = (
    f"wider = more time; each running thread {SAMPLES_PER_S} times a second; "
    "click: zoom, Ctrl-F: search"
)
_STYLE = b"#search { opacity:0.6 }\n#frames rect { fill-opacity:0.7 }\n"  # to read black on red


class Busy(RequestError):
    """Somebody is profiling already."""

    status: ClassVar[int] = 409
    type: ClassVar[str] = "profile_running"


class NotPermitted(RequestError):
    """The kernel does not let us look."""

    status: ClassVar[int] = 403
    type: ClassVar[str] = "tracing_forbidden"


class Profiler:
    """Runs py-spy (`program`, where it is not the installed one) for the admin port.

    `patience_s` is what it may take for its start, its end and for the stacks of a process.
    """

    def __init__(self, program: str | None = None, patience_s: float = 30.0) -> None:
        self._lock = asyncio.Lock()
        self._program = program or _find_program()
        self._patience_s = patience_s

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
                options += ["--rate", str(SAMPLES_PER_S), "--format", form]
                options += ["--output", str(output)]
                options += ["--subprocesses"] * all_children
                options += ["--native"] * native
                async with _limit(seconds + self._patience_s):
                    await self._run(options)
                return output.read_bytes()

    async def stacks(self, pids: Sequence[int]) -> str:
        """Every thread's stack of each process, also while its loop hangs or a profile is taken.

        Where one can't be looked at, its part says why. Raises RequestError where none can.
        """
        parts = [await self._try_dump(pid) for pid in pids]
        failures = [part for part in parts if isinstance(part, RequestError)]
        if failures and len(failures) == len(parts):
            raise failures[0]
        return "\n".join(
            f"Process {pid}: {part.reason}\n" if isinstance(part, RequestError) else part
            for pid, part in zip(pids, parts, strict=True)
        )

    async def _try_dump(self, pid: int) -> str | RequestError:
        try:
            async with _limit(self._patience_s):
                return await self._dump(pid)
        except RequestError as error:
            return error

    async def _dump(self, pid: int) -> str:
        for way in _WAYS_TO_LOOK:
            try:
                dump = await self._run(["dump", "--pid", str(pid), *way])
            except RequestError as error:
                failure = error
            else:
                return _UNHELD * bool(way) + dump
        raise failure

    async def _run(self, options: Sequence[str]) -> str:
        try:
            process = await asyncio.create_subprocess_exec(
                self._program,
                *options,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=os.environ | {"RUST_BACKTRACE": "0"},  # of an error we want the first lines
            )
        except OSError as error:
            raise Unavailable(f"py-spy does not start: {error}", type="profile_failed") from error
        try:
            said, complained = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise _failure(complained.decode(errors="replace"))
        return said.decode(errors="replace")


def with_caption(flamegraph: bytes, title: str) -> bytes:
    """py-spy's flame graph with a title, which was its command line, and how to read it below.

    Names that are too long for their frame lose their end, not the function.
    """
    hint = f'<text id="hint" x="10"\\1>{_HOW_TO_READ}</text>'.encode()
    titled = _TITLE.sub(lambda found: found[1] + html.escape(title).encode(), flamegraph, count=1)
    hinted = _HINT.sub(hint, titled, count=1)
    styled = hinted.replace(b"</style>", _STYLE + b"</style>", 1)
    return styled.replace(b"truncate_text_right = false", b"truncate_text_right = true")


def _failure(complaint: str) -> RequestError:
    words = " ".join(complaint.split())
    text = words[-300:]
    if any(sign in words for sign in _FORBIDDEN):
        return NotPermitted(
            f"the kernel forbids to trace the workers: {text}; set kernel.yama.ptrace_scope to 1 "
            "or 0, or give the service CAP_SYS_PTRACE (in a container: --cap-add SYS_PTRACE); "
            "a process that a debugger has can't be profiled"
        )
    return Unavailable(f"py-spy failed: {text}", type="profile_failed")


@asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        reason = f"py-spy did not end within {seconds:g} s"
        raise Unavailable(reason, type="profile_failed") from error


def _find_program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "py-spy"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("py-spy")
    return found or "py-spy"

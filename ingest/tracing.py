"""Who may read this process's memory from outside: what a profiler needs under ptrace scope 1."""

import ctypes
import sys

_PR_SET_PTRACER = 0x59616D61


def allow_tracing(tracer_pid: int) -> None:
    """Let this process and its children be read by `tracer_pid` and its children (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(tracer_pid), 0, 0, 0)

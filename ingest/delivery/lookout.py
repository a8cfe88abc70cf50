"""Lets one worker of a data directory look whether Elasticsearch is back, on behalf of all.

    data/lookout     u64 nobody else looks before (CLOCK_MONOTONIC, ns) · u64 pid of who said so

Each worker pauses by itself, at random. At the end of its pause it looks only if no other worker
is looking or has looked in vain within `INTERVAL_S`; one that finds Elasticsearch takes the bar
away, and the others follow at the end of their own pauses. So a service asks about as often as one
worker alone would, or once in `INTERVAL_S`, however many workers it has and whoever of them dies.
The file is made by the first one that looks. Where it can't be written, each looks for itself.
"""

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

INTERVAL_S = 5.0
LOOKING_S = 10.0  # a look takes less; who died in the middle of one bars the others for so long
_BAR = struct.Struct("<QQ")


class Lookout:
    """One worker's part in it. Two that begin at the same instant may both look."""

    def __init__(
        self,
        data_dir: Path,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        pid: int | None = None,
    ):
        self._path = data_dir / "lookout"
        self._clock_ns = clock_ns
        self._pid = os.getpid() if pid is None else pid

    def try_begin(self) -> bool:
        """Whether this worker may look now; if so, it must call `end`."""
        until_ns, pid = self._read()
        left_ns = until_ns - self._clock_ns()
        if pid != self._pid and 0 < left_ns <= LOOKING_S * 1e9:  # more: from before a reboot
            return False
        self._bar(LOOKING_S)
        return True

    def end(self, *, is_found: bool) -> None:
        self._bar(0.0 if is_found else INTERVAL_S)

    def _read(self) -> tuple[int, int]:
        try:
            until_ns, pid = _BAR.unpack(self._path.read_bytes())
        except (OSError, struct.error):
            return 0, 0
        return until_ns, pid

    def _bar(self, seconds: float) -> None:
        content = _BAR.pack(self._clock_ns() + int(seconds * 1e9), self._pid)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError:
            return
        try:
            os.pwrite(descriptor, content, 0)
        except OSError:
            return
        finally:
            os.close(descriptor)

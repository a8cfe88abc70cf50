"""One worker as the supervisor sees it: a spawned process and the scoreboard that outlives it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from ingest.config import Settings
from ingest.orders import DRAIN, Orders, send_orders
from ingest.scoreboard import SIZE_BYTES, Scoreboard

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class WorkerProcess:
    """Spawned with three inherited descriptors; never forked from the running loop."""

    def __init__(self, settings: Settings, listen: socket.socket):
        self.id = uuid4()
        self.started = time.monotonic()
        with tempfile.TemporaryFile(prefix="ingest-scoreboard-") as memory:
            memory.truncate(SIZE_BYTES)
            self.scoreboard = Scoreboard(memory.fileno())
            self.scoreboard.beat()
            self._control, theirs = socket.socketpair()
            descriptors = (theirs.fileno(), listen.fileno(), memory.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ingest.worker", *map(str, descriptors)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
            )
            theirs.close()
        send_orders(self._control, Orders(settings, self.id))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def is_listening(self) -> bool:
        return self.exit_code is None and self.scoreboard.state == "listening"

    @property
    def resident_bytes(self) -> int:
        """Its memory; 0 where the system has no /proc to tell, or the process has ended."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        except OSError:
            return 0

    def drain(self) -> None:
        try:
            self._control.sendall(DRAIN)
        except OSError:
            return  # it is ending already

    def dump_stacks(self) -> None:
        """Every thread's stack to standard error, even if the worker hangs."""
        os.kill(self.pid, signal.SIGUSR1)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Free what is held for a process that has ended."""
        self._control.close()
        self.scoreboard.close()

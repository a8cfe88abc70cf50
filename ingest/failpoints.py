"""Places where this process can be made to kill itself, so that tests see a crash at every step.

`INGEST_FAILPOINT=after_write:7` kills the process, as `kill -9` would, when it passes
`after_write` for the seventh time. Who starts the process reads the variable once, makes the
function with `make_failpoint` and hands it to the parts that take a `hit`; where nothing is set
they get `off`, or no call at all (`ingest.spool.files.files_for`).
"""

import os
import signal
from collections.abc import Callable
from itertools import count

Hit = Callable[[str], None]

_OPERATIONS = (
    "create",
    "write",
    "fdatasync",
    "directory_fsync",
    "cursor_write",
    "truncate",
    "unlink",
    "shrink",
    "rmdir",
    "ack",
)

NAMES = frozenset(
    [
        *(f"{moment}_{operation}" for operation in _OPERATIONS for moment in ("before", "after")),
        "mid_write",  # half of the bytes are in the file: a torn record
        "bulk_send",  # a bulk request is about to be sent
        "bulk_answer",  # its answer has arrived and nothing was done with it
    ]
)


def off(name: str) -> None:
    """Does nothing: the failpoint of every process that is not under test."""


def make_failpoint(setting: str | None, kill: Callable[[], None] | None = None) -> Hit:
    """The function to call at each failpoint; `setting` is `name` or `name:n`, or empty for `off`.

    Raises ValueError for an unknown name or an n below 1.
    """
    if not setting:
        return off
    wanted, _, nth = setting.partition(":")
    passings_left = int(nth or 1)
    if wanted not in NAMES:
        raise ValueError(f"unknown failpoint {wanted!r}: use one of {', '.join(sorted(NAMES))}")
    if passings_left < 1:
        raise ValueError(f"failpoint {setting!r} never fires: count from 1")
    passings = count(1)
    fire = kill or kill_self

    def hit(name: str) -> None:
        if name == wanted and next(passings) == passings_left:
            fire()

    return hit


def kill_self() -> None:
    """Ends this process at once: no handler, flush or `finally` runs."""
    os.kill(os.getpid(), signal.SIGKILL)

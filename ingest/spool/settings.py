"""Limits of a spool, and the surroundings that tests replace."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.failpoints import Hit, off
from ingest.spool.files import Files

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """`quota_bytes`: disk that one spool may take; `free_bytes_min`: what it leaves to others.
    `shared_quota_bytes`: disk that all directories under one root may take together, those of
    dead processes too, or each crash would bring another quota; None: they are not looked at.

    `file_bytes`: a spool file's size, at most a quarter of the quota, because one unsettled record
    keeps its whole file. `cursor_interval_s`: how stale the cursor may be, so how much a crash
    repeats. `failures_max`: failed groups in a row after which no durable ack is given.
    """

    quota_bytes: int = 10 * 1024 * _MIB
    free_bytes_min: int = 1024 * _MIB
    shared_quota_bytes: int | None = None
    file_bytes: int = 64 * _MIB
    cursor_interval_s: float = 1.0
    failures_max: int = 3

    @property
    def own_file_bytes(self) -> int:
        """The size at which a new file is begun."""
        return min(self.file_bytes, self.quota_bytes // 4)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The operating system, two clocks and randomness. `clock_s` is monotonic."""

    files: Files = field(default_factory=Files)
    hit: Hit = off
    clock_s: Callable[[], float] = time.monotonic
    wall_clock_s: Callable[[], float] = time.time
    random_bytes: Callable[[int], bytes] = os.urandom

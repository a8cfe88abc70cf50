"""Looks at a service all through a run: the accounting law, the admin port, memory, descriptors."""

import http.client
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.service import Service, is_balanced

LOOK_S = 0.05
STATUS_EVERY = 5  # looks
LIVEZ_MAX_S = 1.0  # promised are 0.1 s; the tests' own load shares the machine
WORKER_BYTES_MAX = 400 << 20
WORKER_DESCRIPTORS_MAX = 300
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True, frozen=True)
class Sample:
    """The workers of one moment, added up."""

    at_s: float
    workers: int
    resident_bytes: int
    descriptors: int


@dataclass(slots=True)
class Sightings:
    """What was seen, to be judged."""

    livez_s: list[float] = field(default_factory=list)
    unbalanced: list[dict[str, int]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    largest_bytes: int = 0
    most_descriptors: int = 0

    @property
    def livez_p99_s(self) -> float:
        if not self.livez_s:
            return 0.0
        return sorted(self.livez_s)[int(len(self.livez_s) * 0.99)]

    def violations(self) -> list[str]:
        found = []
        if self.unbalanced:
            found.append(f"I5: {len(self.unbalanced)} times unbalanced: {self.unbalanced[0]}")
        if self.largest_bytes > WORKER_BYTES_MAX:
            found.append(f"I6: a worker had {self.largest_bytes >> 20} MiB")
        if self.most_descriptors > WORKER_DESCRIPTORS_MAX:
            found.append(f"I6: a worker had {self.most_descriptors} descriptors")
        if self.livez_p99_s > LIVEZ_MAX_S:
            found.append(f"I7: /livez took {self.livez_p99_s:.3f} s (p99)")
        return found


class Watch(threading.Thread):
    """Samples whichever service `current` names, until `stop`; a service that is down is no news.

    A time counts for /livez only if the service was up before and after it.
    """

    def __init__(self, current: Callable[[], Service | None]):
        super().__init__(name="watch", daemon=True)
        self.seen = Sightings()
        self._current = current
        self._is_over = threading.Event()

    def stop(self) -> Sightings:
        """Again and again, if you like."""
        self._is_over.set()
        self.join()
        return self.seen

    def run(self) -> None:
        looks = 0
        while not self._is_over.wait(LOOK_S):
            service = self._current()
            if service is None:
                continue
            looks += 1
            try:
                self._look(service, is_thorough=looks % STATUS_EVERY == 0)
            except (OSError, http.client.HTTPException, ValueError):
                continue  # it is being killed or started

    def _look(self, service: Service, *, is_thorough: bool) -> None:
        started = time.monotonic()
        service.get("/livez")
        self.seen.livez_s.append(time.monotonic() - started)
        if not is_thorough:
            return
        status = service.status()
        if not is_balanced(status["documents"]):
            self.seen.unbalanced.append(status["documents"])
        self._note_workers([worker["pid"] for worker in status["workers"]])

    def _note_workers(self, pids: list[int]) -> None:
        sizes = [resident_bytes(pid) for pid in pids]
        counts = [descriptors(pid) for pid in pids]
        self.seen.largest_bytes = max(self.seen.largest_bytes, *sizes, 0)
        self.seen.most_descriptors = max(self.seen.most_descriptors, *counts, 0)
        sample = Sample(time.monotonic(), len(pids), sum(sizes), sum(counts))
        self.seen.samples.append(sample)


def resident_bytes(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


def descriptors(pid: int) -> int:
    """0 for a process that is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0

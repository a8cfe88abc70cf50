"""A service that is broken on purpose, and the proof that nothing came of it.

    with Fleet(cluster, tmp_path, workers=2) as fleet:
        with producing(Producer("a", fleet.url, fleet.oracle, seed=1)):
            ...  # the fault
        fleet.prove()

Generations of services follow each other on one data directory.
"""

import contextlib
import http.client
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import msgspec

from ingest.spool import check
from ingest.spool.directory import list_directories
from ingest.spool.files import Files
from tests.faults.clusters import Cluster
from tests.faults.oracle import Oracle
from tests.faults.producers import Producer
from tests.faults.watch import Sightings, Watch
from tests.service import Service, is_running

CHANGED = "configuration changed"
DIED = "a worker died and is replaced"
REFUSED = "change of configuration is still under way"
RECOVER_S = 30.0
POLL_S = 0.02
NOTED_LINES = 40
PROBE = b'{"key":"probe","n":1}'
KiB, MiB = 1 << 10, 1 << 20
SETTINGS: dict[str, object] = {  # small, so that files roll and memory is short
    "workers": 1,
    "flush_interval_s": 0.02,
    "spool_file_bytes": 64 * KiB,
    "spool_free_bytes_min": 0,
    "max_document_bytes": 64 * KiB,
    "buffer_bytes": 128 * KiB,
    "flush_bytes": 128 * KiB,
    "max_pending_bytes": 512 * KiB,
    "backoff_max_s": 0.5,
    "drain_s": 10,
}


class Fleet:
    """One data directory, the service that runs on it now, and everything known of both."""

    def __init__(self, cluster: Cluster, directory: Path, **settings: object):
        self.cluster = cluster
        self.directory = directory
        self.data_dir = directory / "data"
        self.oracle = Oracle()
        self.settings = {**SETTINGS, **settings}
        self.past: list[str] = []  # what ended services said
        self._service: Service | None = None
        self._stack = contextlib.ExitStack()
        self._watch = Watch(lambda: self._service)

    def __enter__(self) -> Self:
        self.start()
        self._watch.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._watch.stop()
        if error is not None and self._service is not None:
            error.add_note(f"the service said:\n{self.said}")
        self._stack.close()

    # generations

    @property
    def service(self) -> Service:
        assert self._service is not None, "no service runs now"
        return self._service

    def url(self) -> str:
        """Where producers find the service; nowhere while there is none."""
        service = self._service
        if service is None:
            raise ConnectionRefusedError("no service runs now")
        return service.url

    def start(self, **changes: object) -> Service:
        """The next generation: it always starts (I9)."""
        self.settings.update(changes)
        service = Service(self.data_dir, self.cluster.url, **self.settings)  # type: ignore[arg-type]
        self._stack.callback(service.close)
        service.launch().wait_until_ready()
        self._service = service
        return service

    def adopt_service(self, service: Service) -> None:
        """Go on with a service that runs on the same data; who made it closes it."""
        self._service = service

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        service = self._retire()
        code = service.terminate()
        self.past.append(service.said)
        return code

    def kill_all(self) -> None:
        """Supervisor and workers at the same moment, as when the machine's power goes."""
        pids = self.service.worker_pids
        service = self._retire()
        os.killpg(service.process.pid, signal.SIGKILL)
        service.wait_for_end()
        wait_until_gone(service, pids)
        self.past.append(service.said)

    def kill_supervisor(self) -> list[int]:
        """Its workers are orphans then; gives their pids."""
        service = self.service
        pids = service.worker_pids
        self._retire().kill()
        return pids

    def kill_worker(self, index: int = 0) -> int:
        pid = self.service.worker_pids[index]
        os.kill(pid, signal.SIGKILL)
        return pid

    def hang_up(self) -> None:
        """SIGHUP until it is heeded, not while the last change is under way, and workers start."""
        heeded = self._count(CHANGED)
        while self._count(CHANGED) == heeded:
            old = {*self.service.worker_pids}
            answers = self._count(CHANGED) + self._count(REFUSED)
            self.service.signal(signal.SIGHUP)
            self.wait_until("SIGHUP", lambda: self._count(CHANGED) + self._count(REFUSED) > answers)  # noqa: B023
        self.wait_until("new workers", lambda: not old >= {*self.service.worker_pids})

    def _count(self, said: str) -> int:
        return self.service.said.count(said)

    def producer(self, name: str, seed: int = 1, **options: Any) -> Producer:
        index = self.cluster.index
        return Producer(name, self.url, self.oracle, seed=seed, index=index, **options)

    def _retire(self) -> Service:
        service, self._service = self.service, None
        return service

    @property
    def said(self) -> str:
        """The end of what the service said, but for its lines about poison."""
        lines = self.service.said.splitlines()
        return "\n".join([line for line in lines if "refused documents" not in line][-NOTED_LINES:])

    # waiting

    @property
    def _workers(self) -> int:
        return int(str(self.settings["workers"]))

    @property
    def restarts(self) -> int:
        restarts: int = self.service.status()["worker_restarts"]
        return restarts

    def wait_until(
        self, what: str, is_reached: Callable[[], bool], timeout_s: float = RECOVER_S
    ) -> None:
        """Raises AssertionError naming what did not come."""
        deadline = time.monotonic() + timeout_s
        while not is_reached():
            assert time.monotonic() < deadline, f"in {timeout_s} s it did not come: {what}"
            time.sleep(POLL_S)

    def wait_for_acks(self, more: int = 1) -> None:
        """Until so many posts more were accepted."""
        wanted = self.oracle.count("accepted") + more
        self.wait_until("acks", lambda: self.oracle.count("accepted") >= wanted)

    def wait_until_listening(self) -> None:
        """Until as many workers as there should be listen, and no other one is there."""
        self.wait_until("workers that listen", self.is_listening)

    def is_listening(self) -> bool:
        states = [worker["state"] for worker in self.service.status()["workers"]]
        return states == ["listening"] * self._workers

    # the proof

    def prove(self) -> None:
        """All invariants, from the moment on at which the fault has ended."""
        self.wait_for_drain()
        violations = self.oracle.violations(self.cluster.arrived(), self.letters())
        code = self.stop()
        assert code == 0, f"exit code {code}; it said:\n{self.past[-1]}"
        violations += self.end_watch().violations() + self._left_on_disk()
        assert not violations, "\n".join(violations)

    def wait_for_drain(self) -> None:
        """I8: soon it takes new documents and delivers all that it has, with no one's help."""
        since = time.monotonic()
        self._take_one_more()
        self._deliver_everything(since)

    def end_watch(self) -> Sightings:
        return self._watch.stop()

    def letters(self) -> list[bytes]:
        """Each dead letter's document, byte for byte; a crash may write a letter again."""
        files = (self.data_dir / "dead-letters").glob("*.ndjson")
        lines = (line for file in files for line in file.read_bytes().split(b"\n")[:-1])
        return list(dict.fromkeys(_documents(lines)))

    def directories(self) -> list[Path]:
        """The spool directories that are there."""
        return list_directories(Files(), self.data_dir)

    def _take_one_more(self) -> None:
        headers = {"idempotency-key": PROBE.decode()}
        self.oracle.note_sent({"probe": PROBE})

        def is_taken() -> bool:
            body, index = PROBE + b"\n", self.cluster.index
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = self.service.post(body, headers=headers, index=index, ack="indexed")
                return answer.status == 200
            return False

        self.service.wait_until(is_taken, RECOVER_S)

    def _deliver_everything(self, since: float) -> None:
        """What is on disk, too, and the leftovers of dead workers."""
        deadline = since + RECOVER_S
        while missing := self._undrained():
            if time.monotonic() > deadline:
                raise AssertionError(f"I8: not drained after {RECOVER_S} s: {missing}")
            time.sleep(POLL_S)

    def _undrained(self) -> str:
        documents = self.service.documents()
        if documents["in_memory"] or documents["spooled"]:
            return f"{documents}"
        workers = len(self.service.worker_pids)
        if (found := len(self.directories())) > workers:
            return f"{found} spool directories for {workers} workers"
        return ""

    def _left_on_disk(self) -> list[str]:
        """A drained service leaves no spool directory behind, and nothing unsettled in any."""
        return [
            f"I1: {path.name} is left, with {check(path).unsettled_documents} unsettled documents"
            for path in self.directories()
        ]


class _Letter(msgspec.Struct):
    document: msgspec.Raw


def _documents(lines: Iterable[bytes]) -> Iterable[bytes]:
    for line in lines:
        yield bytes(msgspec.json.decode(line, type=_Letter).document)


def wait_until_gone(service: Service, pids: Iterable[int], timeout_s: float = RECOVER_S) -> None:
    """Until none of these processes runs."""
    every = list(pids)
    service.wait_until(lambda: not any(map(is_running, every)), timeout_s)

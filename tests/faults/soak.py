"""Row 18: random faults at some 80 % of the load that this machine can take, for as long as asked.

    python -m tests.faults.soak --minutes 30 [--seed 7] [--workers 2]

Every minute or so the faults pause, everything must drain, and what arrived is judged; then both
sides forget it, so that memory is enough for any length. At the end: one line for each invariant,
and how memory and descriptors of the workers went. Exit code 1 if anything was violated.
"""

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fakes import ScriptedElasticsearch, Step, refuse, reset
from tests.faults.clusters import ScriptedCluster
from tests.faults.oracle import Oracle, find_key
from tests.faults.producers import Producer, producing
from tests.faults.rig import Fleet, wait_until_gone
from tests.faults.watch import Sample, Sightings

EPOCH_S = 60.0
CALIBRATION_S = 1.0
LOAD_SHARE = 0.8
BETWEEN_FAULTS_S = (0.2, 1.0)
OUTAGE_S = (0.2, 1.5)
SLOPE_BYTES_MAX = 1 << 20  # a minute and a worker; judged after
SLOPE_JUDGED_AFTER_S = 600.0


class Faults:
    """What can go wrong, each by its name; `fired` counts."""

    def __init__(self, fleet: Fleet, es: ScriptedElasticsearch, config: Path, seed: int):
        self.fleet = fleet
        self.es = es
        self.config = config
        self.chance = random.Random(seed)
        self.orphans: list[int] = []
        self.fired: Counter[str] = Counter()
        self.kinds: list[Callable[[], None]] = [
            self.kill_worker,
            self.kill_supervisor,
            self.kill_everything,
            self.stop_service,
            self.change_configuration,
            self.freeze_worker,
            self.take_elasticsearch_away,
            self.swallow_requests,
            self.answer_badly,
        ]

    def next_round(self) -> list[Callable[[], None]]:
        """Each kind once, in an order of its own."""
        return self.chance.sample(self.kinds, len(self.kinds))

    def fire(self, fault: Callable[[], None]) -> None:
        fault()
        self.fired[fault.__name__] += 1
        time.sleep(self.chance.uniform(*BETWEEN_FAULTS_S))

    def kill_worker(self) -> None:
        """One that drains after a change of configuration, perhaps, which nobody replaces."""
        pid = self.chance.choice(self.fleet.service.worker_pids)
        os.kill(pid, signal.SIGKILL)
        self.fleet.wait_until("its end", lambda: pid not in self.fleet.service.worker_pids)

    def kill_supervisor(self) -> None:
        self.orphans += self.fleet.kill_supervisor()
        self.fleet.start()

    def kill_everything(self) -> None:
        self.fleet.kill_all()
        self.fleet.start()

    def stop_service(self) -> None:
        assert self.fleet.stop() == 0
        self.fleet.start()

    def change_configuration(self) -> None:
        self.config.write_text(f"flush_documents = {self.chance.randint(500, 5000)}\n")
        self.fleet.hang_up()

    def freeze_worker(self) -> None:
        pid = self.fleet.service.worker_pids[0]
        os.kill(pid, signal.SIGSTOP)
        self._last()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def take_elasticsearch_away(self) -> None:
        self.es.stop()
        self._last()
        self.es.start()

    def swallow_requests(self) -> None:
        self.es.pause()
        self._last()
        self.es.resume()

    def answer_badly(self) -> None:
        """A few at a time, so that it ends by itself."""
        bad = [refuse(429), refuse(503), reset("before_body"), reset("after_body")]
        bad += [reset("during_answer"), Step(is_cut=True), Step(items_delta=-1)]
        self.es.script(*self.chance.sample(bad, 4))
        self._last()

    def _last(self) -> None:
        time.sleep(self.chance.uniform(*OUTAGE_S))


class Soak:
    """One run; `violations` grows, `fired` tells what was done."""

    def __init__(self, directory: Path, es: ScriptedElasticsearch, *, workers: int, seed: int):
        self.config = directory / "ingest.toml"
        self.config.write_text("")
        self.cluster = ScriptedCluster(es)
        self.fleet = Fleet(self.cluster, directory, workers=workers, config=self.config)
        self.faults = Faults(self.fleet, es, self.config, seed)
        self.violations: list[str] = []
        self.documents = 0
        self.posts = 0
        self._seed = seed
        self._pause_s = 0.0

    def run(self, seconds: float) -> Sightings:
        """At least one round of all faults.

        Raises AssertionError where a service does not start, drain or stop as it should.
        """
        with self.fleet:
            self._pause_s = self._calibrate()
            ends = time.monotonic() + seconds
            epoch = 0
            while time.monotonic() < ends:
                epoch += 1
                self._run_epoch(epoch, min(EPOCH_S, ends - time.monotonic()))
            assert self.fleet.stop() == 0
            seen = self.fleet.end_watch()
            self.violations += seen.violations()
        return seen

    def _calibrate(self) -> float:
        """The pause after each post at which all producers together send 80 % of the most."""
        producers = self._producers("calibration", 0.0)
        with producing(*producers):
            time.sleep(CALIBRATION_S)
        rate = self.fleet.oracle.count("accepted") / CALIBRATION_S
        self._judge("calibration")
        return len(producers) / rate * (1 / LOAD_SHARE - 1)

    def _run_epoch(self, epoch: int, seconds: float) -> None:
        ends = time.monotonic() + seconds
        with producing(*self._producers(f"epoch{epoch}", self._pause_s)):
            while True:
                for fault in self.faults.next_round():
                    self.faults.fire(fault)
                if time.monotonic() > ends:
                    break
        wait_until_gone(self.fleet.service, self.faults.orphans)
        self._judge(f"epoch{epoch}")

    def _producers(self, prefix: str, pause_s: float) -> list[Producer]:
        def make(name: str, *, ack: str = "durable", repeats: bool = False) -> Producer:
            return self.fleet.producer(
                f"{prefix}-{name}", self._seed, ack=ack, repeats=repeats, pause_s=pause_s
            )

        others = [make("indexed", ack="indexed"), make("memory", ack="memory")]
        return [make("plain"), make("keyed", repeats=True), *others]

    def _judge(self, prefix: str) -> None:
        """Everything drains; what arrived is judged and forgotten."""
        self.fleet.wait_for_drain()
        oracle = self.fleet.oracle
        letters = [
            line for line in self.fleet.letters() if (find_key(line) or "").startswith(prefix)
        ]
        self.violations += oracle.violations(self.cluster.arrived(), letters)
        self.documents += len(oracle.sent)
        self.posts += len(oracle.posts)
        self.fleet.oracle = Oracle()
        self.cluster.forget()


def slope_per_minute(samples: list[Sample], amount: Callable[[Sample], float]) -> float:
    """Of a straight line through what each sample shows, a worker and a minute."""
    shown = [(sample.at_s / 60, amount(sample) / sample.workers) for sample in samples]
    if len({minute for minute, _ in shown}) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*shown, strict=True)).slope


def slopes(seen: Sightings) -> tuple[float, float]:
    """Resident bytes and descriptors, a worker and a minute."""
    samples = [sample for sample in seen.samples if sample.workers]
    return (
        slope_per_minute(samples, lambda sample: sample.resident_bytes),
        slope_per_minute(samples, lambda sample: sample.descriptors),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    seconds = options.minutes * 60
    with ScriptedElasticsearch() as es, tempfile.TemporaryDirectory(prefix="ingest-soak-") as data:
        soak = Soak(Path(data), es, workers=options.workers, seed=options.seed)
        seen = soak.run(seconds)
    growth_bytes, _ = slopes(seen)
    if seconds >= SLOPE_JUDGED_AFTER_S and growth_bytes > SLOPE_BYTES_MAX:
        soak.violations.append(f"I6: memory grows by {growth_bytes / 2**20:.2f} MiB a minute")
    sys.stdout.write("\n".join(verdict(soak, seen)) + "\n")
    return 1 if soak.violations else 0


def verdict(soak: Soak, seen: Sightings) -> Iterator[str]:
    """Lines for a person."""
    growth_bytes, growth_descriptors = slopes(seen)
    yield f"{soak.documents} documents in {soak.posts} posts; faults: {dict(soak.faults.fired)}"
    yield f"livez p99 {seen.livez_p99_s * 1e3:.1f} ms"
    yield f"largest worker {seen.largest_bytes >> 20} MiB, {seen.most_descriptors} descriptors"
    yield f"slopes: {growth_bytes / 1024:.1f} KiB, {growth_descriptors:.2f} descriptors a minute"
    for number in range(1, 10):
        wrong = [each for each in soak.violations if each.startswith(f"I{number}:")]
        yield f"I{number} violated" if wrong else f"I{number} holds"
        yield from wrong


if __name__ == "__main__":
    sys.exit(main())

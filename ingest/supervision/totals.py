"""All workers' scoreboards as one, dead workers' figures kept: `/metrics` and `/status`."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from ingest.metrics import CATALOGUE, Metric
from ingest.scoreboard import Ledger, Scoreboard
from ingest.supervision.worker_process import WorkerProcess

Figures = dict[str, dict[str, list[int]]]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Totals(Collector):
    """Adds up what the living workers show and what the dead ones have left."""

    def __init__(self) -> None:
        self._past_ledger = Ledger()
        self._past: Figures = {}
        self._orphaned = 0  # documents in the spools that dead workers left
        self._recovered = 0  # of processes that were no workers of this supervisor
        self.workers: Sequence[WorkerProcess] = ()
        self.restarts = 0
        self.rejected_configurations = 0

    def bury(self, scoreboard: Scoreboard) -> Ledger:
        """Keep a dead worker's figures; what it held in memory is lost. Gives its last ledger."""
        ledger = scoreboard.read_ledger()
        ledger.close()
        self._past_ledger.add(ledger)
        self.ledger()  # before its spool counts as left: what was recovered up to now stays so
        self._past_ledger.spooled -= ledger.spooled
        self._orphaned += ledger.spooled
        for metric in CATALOGUE:
            if metric.kind != "gauge":
                _add(self._past.setdefault(metric.name, {}), scoreboard.read(metric))
        return ledger

    def ledger(self) -> Ledger:
        total = Ledger()
        total.add(self._past_ledger)
        for worker in self.workers:
            total.add(worker.scoreboard.read_ledger())
        # What a worker left and another has read back was never away: it is one document.
        self._recovered = max(self._recovered, total.recovered - self._orphaned)
        handed_over = total.recovered - self._recovered
        total.recovered = self._recovered
        total.spooled += self._orphaned - handed_over
        return total

    def figures(self, metric: Metric) -> dict[str, list[int]]:
        total: dict[str, list[int]] = {}
        _add(total, self._past.get(metric.name, {}))
        for worker in self.workers:
            if metric.is_shared:
                total = max(worker.scoreboard.read(metric), total, key=_amount)
            else:
                _add(total, worker.scoreboard.read(metric))
        return total

    def collect(self) -> Iterator[Family]:
        """For prometheus_client."""
        yield from _ledger_families(self.ledger())
        for metric in CATALOGUE:
            yield _family(metric, self.figures(metric))
        yield _counter(
            "ingest_worker_restarts_total", "Workers that were replaced.", "", {"": self.restarts}
        )
        yield _counter(
            "ingest_rejected_configurations_total",
            "Changed configurations (SIGHUP) that were not valid and not used.",
            "",
            {"": self.rejected_configurations},
        )
        ages = GaugeMetricFamily(
            "ingest_worker_heartbeat_age_seconds",
            "Time since a worker's loop was last seen to turn.",
            labels=["worker"],
        )
        memory = GaugeMetricFamily(
            "ingest_worker_resident_bytes",
            "Resident memory of a worker; 0 where the system has no /proc.",
            labels=["worker"],
        )
        for index, worker in enumerate(self.workers):
            ages.add_metric([str(index)], worker.scoreboard.heartbeat_age_s)
            memory.add_metric([str(index)], worker.resident_bytes)
        yield from (ages, memory)


def _amount(figures: dict[str, list[int]]) -> int:
    return sum(map(sum, figures.values()))


def _add(total: dict[str, list[int]], more: dict[str, list[int]]) -> None:
    for value, slots in more.items():
        mine = total.setdefault(value, [0] * len(slots))
        for index, amount in enumerate(slots):
            mine[index] += amount


def _ledger_families(ledger: Ledger) -> Iterable[Family]:
    yield _counter(
        "ingest_documents_received_total",
        "Documents that were framed, whatever became of them.",
        "",
        {"": ledger.received},
    )
    yield _counter(
        "ingest_documents_recovered_total",
        "Documents that came out of spools of earlier processes.",
        "",
        {"": ledger.recovered},
    )
    yield _counter(
        "ingest_documents_total",
        "Documents by their outcome.",
        "outcome",
        {
            "indexed": ledger.indexed,
            "duplicate": ledger.duplicate,
            "dead_letter": ledger.dead_letter,
            "rejected": ledger.rejected,
        },
    )
    yield _counter(
        "ingest_documents_lost_total",
        "Documents that were only in the memory of a process that died, or in damaged records of a "
        "spool; these count as acked, and as lost even if they were delivered in the last second "
        "of their worker.",
        "acked",
        {"true": ledger.lost_acked, "false": ledger.lost_unacked},
    )
    for name, sentence, amount in (
        ("ingest_documents_in_memory", "Documents that have no outcome yet.", ledger.in_memory),
        (
            "ingest_documents_spooled",
            "Documents in the spool. Where damage hides how many it hit (an end of a dead worker's "
            "last file that not even its headers tell of), they stay in here until the next start.",
            ledger.spooled,
        ),
    ):
        yield GaugeMetricFamily(name, sentence, value=amount)


def _counter(name: str, sentence: str, label: str, amounts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, sentence, labels=[label] if label else None)
    for value, amount in amounts.items():
        family.add_metric([value] if label else [], amount)
    return family


def _family(metric: Metric, figures: dict[str, list[int]]) -> Family:
    if metric.kind == "histogram":
        return _histogram(metric, figures.get("", [0] * metric.slot_count))
    amounts = {value: slots[0] for value, slots in figures.items()}
    if metric.kind == "counter" and metric.name.endswith("_total"):
        return _counter(metric.name, metric.sentence, metric.label, amounts)
    labels = [metric.label] if metric.label else None
    family = GaugeMetricFamily(metric.name, metric.sentence, labels=labels)
    for value, amount in amounts.items():
        family.add_metric([value] if metric.label else [], amount)
    return family


def _histogram(metric: Metric, slots: list[int]) -> HistogramMetricFamily:
    *counts, sum_ns = slots
    running = 0
    buckets = []
    for bound, count in zip([*map(str, metric.buckets), "+Inf"], counts, strict=True):
        running += count
        buckets.append((bound, running))
    return HistogramMetricFamily(
        metric.name, metric.sentence, buckets=buckets, sum_value=sum_ns / 1e9
    )

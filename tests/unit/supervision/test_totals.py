"""All workers as one: what the dead have left is kept, and nothing is counted twice."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ingest import metrics
from ingest.scoreboard import Ledger, Scoreboard
from ingest.supervision.totals import Totals
from ingest.supervision.worker_process import WorkerProcess
from tests.delivery_rig import open_scoreboard


@dataclass
class Worker:
    """A worker as far as the totals look at it."""

    scoreboard: Scoreboard
    resident_bytes: int = 50_000_000

    def show(self, **terms: int) -> None:
        """Set terms of its ledger and let the supervisor see them."""
        for term, count in terms.items():
            setattr(self.scoreboard.ledger, term, count)
        assert self.scoreboard.ledger.is_balanced
        self.scoreboard.publish()


class Supervised:
    """Totals over workers that come and go."""

    def __init__(self, make_worker: Callable[[], Worker]):
        self.totals = Totals()
        self.living: list[Worker] = []
        self._make_worker = make_worker

    def start(self, **terms: int) -> Worker:
        worker = self._make_worker()
        worker.show(**terms)
        self._set([*self.living, worker])
        return worker

    def die(self, worker: Worker) -> Ledger:
        self._set([each for each in self.living if each is not worker])
        return self.totals.bury(worker.scoreboard)

    @property
    def ledger(self) -> Ledger:
        ledger = self.totals.ledger()
        assert ledger.is_balanced
        return ledger

    def _set(self, workers: list[Worker]) -> None:
        self.living = workers
        self.totals.workers = [cast(WorkerProcess, worker) for worker in workers]

    def samples(self) -> dict[str, float]:
        """What `/metrics` shows: `name` or `name{value}` of each sample."""
        registry = CollectorRegistry()
        registry.register(self.totals)
        return {
            sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(generate_latest(registry).decode())
            for sample in family.samples
        }


@pytest.fixture
def supervised() -> Iterator[Supervised]:
    with contextlib.ExitStack() as boards:
        yield Supervised(lambda: Worker(boards.enter_context(open_scoreboard())))


def test_workers_add_up(supervised: Supervised) -> None:
    supervised.start(received=5, indexed=3, in_memory_acked=2)
    supervised.start(received=7, rejected=1, duplicate=2, dead_letter=1, spooled=3)
    assert supervised.ledger == Ledger(
        received=12, rejected=1, indexed=3, duplicate=2, dead_letter=1, in_memory_acked=2, spooled=3
    )


def test_nobody_is_nothing(supervised: Supervised) -> None:
    assert supervised.ledger == Ledger()


def test_what_a_dead_worker_held_in_memory_is_lost_under_its_label(supervised: Supervised) -> None:
    worker = supervised.start(received=9, indexed=2, in_memory_acked=4, in_memory_unacked=3)
    last = supervised.die(worker)
    assert (last.lost_acked, last.lost_unacked, last.lost) == (4, 3, 7)
    assert supervised.ledger == Ledger(received=9, indexed=2, lost_acked=4, lost_unacked=3)


def test_what_a_dead_worker_had_spooled_is_still_spooled(supervised: Supervised) -> None:
    supervised.die(supervised.start(received=9, indexed=2, spooled=7))
    assert supervised.ledger == Ledger(received=9, indexed=2, spooled=7)


def test_what_another_worker_reads_back_was_never_away(supervised: Supervised) -> None:
    supervised.die(supervised.start(received=7, spooled=7))
    adopter = supervised.start()
    adopter.show(recovered=4, spooled=4)
    assert supervised.ledger == Ledger(received=7, spooled=7)
    adopter.show(recovered=7, spooled=2, indexed=5)
    assert supervised.ledger == Ledger(received=7, spooled=2, indexed=5)


def test_an_adopter_that_dies_half_way_leaves_the_rest_to_the_next(supervised: Supervised) -> None:
    supervised.die(supervised.start(received=7, spooled=7))
    supervised.die(supervised.start(recovered=5, indexed=3, spooled=2))
    assert supervised.ledger == Ledger(received=7, indexed=3, spooled=4)
    supervised.start(recovered=4, indexed=4)
    assert supervised.ledger == Ledger(received=7, indexed=7)


def test_what_an_earlier_service_left_is_recovered(supervised: Supervised) -> None:
    supervised.start(recovered=10, indexed=10)
    assert supervised.ledger == Ledger(recovered=10, indexed=10)


def test_what_is_missing_of_a_dead_worker_s_spool_is_lost_and_no_longer_spooled(
    supervised: Supervised,
) -> None:
    supervised.die(supervised.start(received=7, spooled=7))
    supervised.start(recovered=7, indexed=4, lost_acked=3)
    assert supervised.ledger == Ledger(received=7, indexed=4, lost_acked=3)


def test_repeated_records_are_recovered_once_more(supervised: Supervised) -> None:
    """The cursor of a dead worker is up to a second behind."""
    supervised.die(supervised.start(received=7, indexed=3, spooled=4))
    supervised.start(recovered=6, duplicate=2, indexed=4)
    assert supervised.ledger == Ledger(received=7, recovered=2, indexed=7, duplicate=2)


def test_a_death_does_not_take_back_what_was_recovered_before(supervised: Supervised) -> None:
    supervised.start(recovered=100, indexed=100)
    supervised.die(supervised.start(received=50, spooled=50))
    assert supervised.ledger == Ledger(received=50, recovered=100, indexed=100, spooled=50)
    supervised.start(recovered=50, indexed=50)
    assert supervised.ledger == Ledger(received=50, recovered=100, indexed=150)


def test_nor_does_the_death_of_who_recovered_it(supervised: Supervised) -> None:
    supervised.die(supervised.start(recovered=100, indexed=60, spooled=40))
    assert supervised.ledger == Ledger(recovered=100, indexed=60, spooled=40)
    supervised.start(recovered=40, indexed=40)
    assert supervised.ledger == Ledger(recovered=100, indexed=100)


STEPS = st.lists(st.tuples(st.sampled_from(["take", "settle", "die", "adopt"]), st.integers(0, 9)))


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_counters_never_fall_whoever_dies(steps: list[tuple[str, int]]) -> None:
    """Each document is taken by one worker, spooled, perhaps left and adopted, and indexed."""
    left = 0
    with contextlib.ExitStack() as boards:
        supervised = Supervised(lambda: Worker(boards.enter_context(open_scoreboard())))
        before = Ledger()
        for step, number in steps:
            worker = supervised.living[0] if supervised.living else supervised.start()
            ledger = worker.scoreboard.ledger
            if step == "take":
                worker.show(received=ledger.received + number, spooled=ledger.spooled + number)
            elif step == "settle":
                done = min(number, ledger.spooled)
                worker.show(indexed=ledger.indexed + done, spooled=ledger.spooled - done)
            elif step == "adopt":
                found = min(number, left)
                left -= found
                worker.show(recovered=ledger.recovered + found, spooled=ledger.spooled + found)
            else:
                left += ledger.spooled
                supervised.die(worker)
            now = supervised.ledger
            for term in fields(Ledger):
                is_counter = not term.name.startswith("in_memory") and term.name != "spooled"
                assert not is_counter or getattr(now, term.name) >= getattr(before, term.name)
            assert (now.recovered, now.received) == (0, now.indexed + now.spooled)
            before = now


# Metrics


def test_counters_and_histograms_of_the_dead_are_kept_and_gauges_are_not(
    supervised: Supervised,
) -> None:
    for _ in range(2):
        worker = supervised.start()
        worker.scoreboard.add(metrics.REQUESTS, 3, "202")
        worker.scoreboard.add(metrics.DEAD_LETTERS, 2, "some_exception")
        worker.scoreboard.observe(metrics.REQUEST_SECONDS, 0.003)
        worker.scoreboard.set(metrics.BUFFERS_FREE, 24)
    supervised.die(worker)
    shown = supervised.samples()
    assert shown["ingest_requests_total{202}"] == 6
    assert shown["ingest_dead_letters{some_exception}"] == 4
    assert shown["ingest_request_seconds_count"] == 2
    assert shown["ingest_buffers_free"] == 24


@pytest.mark.parametrize(
    ("shown", "total"),
    [
        pytest.param([], None, id="nobody"),
        pytest.param([0], 0, id="nothing"),
        pytest.param([7, 9, 8], 9, id="measured at different moments"),
    ],
)
def test_what_every_worker_sees_counts_once(
    supervised: Supervised, shown: list[int], total: int | None
) -> None:
    for amount in shown:
        supervised.start().scoreboard.set(metrics.SPOOL_BYTES, amount)
    assert supervised.samples().get("ingest_spool_bytes") == total


def test_histograms_are_cumulative_and_their_sum_is_in_seconds(supervised: Supervised) -> None:
    first, second = supervised.start().scoreboard, supervised.start().scoreboard
    for board, seconds in ((first, 0.0005), (first, 0.02), (second, 0.02), (second, 99.0)):
        board.observe(metrics.BULK_REQUEST_SECONDS, seconds)
    shown = supervised.samples()
    name = "ingest_bulk_request_seconds"
    assert [shown[f"{name}_bucket{{{le}}}"] for le in ("0.001", "0.01", "0.025", "30.0")] == [
        1,
        1,
        3,
        3,
    ]
    assert shown[f"{name}_bucket{{+Inf}}"] == shown[f"{name}_count"] == 4
    assert shown[f"{name}_sum"] == pytest.approx(99.0405)


def test_the_ledger_is_shown_under_its_names(supervised: Supervised) -> None:
    supervised.die(supervised.start(received=3, in_memory_acked=2, in_memory_unacked=1))
    supervised.start(
        received=20, recovered=4, rejected=1, indexed=2, duplicate=3, dead_letter=4, spooled=14
    )
    shown = supervised.samples()
    expected = {
        "ingest_documents_received_total": 23,
        "ingest_documents_recovered_total": 4,
        "ingest_documents_total{rejected}": 1,
        "ingest_documents_total{indexed}": 2,
        "ingest_documents_total{duplicate}": 3,
        "ingest_documents_total{dead_letter}": 4,
        "ingest_documents_lost_total{true}": 2,
        "ingest_documents_lost_total{false}": 1,
        "ingest_documents_in_memory": 0,
        "ingest_documents_spooled": 14,
    }
    assert {name: shown[name] for name in expected} == expected


def test_every_metric_is_shown_from_the_start_unless_its_labels_come_from_data(
    supervised: Supervised,
) -> None:
    supervised.start()
    supervised.totals.restarts = 2
    supervised.totals.rejected_configurations = 1
    shown = supervised.samples()
    names = {name.partition("{")[0] for name in shown}
    for metric in metrics.CATALOGUE:
        if not metric.dynamic:
            assert metric.name + "_count" * (metric.kind == "histogram") in names
    assert shown["ingest_worker_restarts_total"] == 2
    assert shown["ingest_rejected_configurations_total"] == 1
    assert shown["ingest_worker_heartbeat_age_seconds{0}"] > 0
    assert shown["ingest_worker_resident_bytes{0}"] == 50_000_000

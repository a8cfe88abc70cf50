"""The scoreboard: never a torn ledger, bounded labels, figures that outlive their worker."""

import mmap
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, cast

import pytest

from ingest import metrics
from ingest.errors import RequestError
from ingest.scoreboard import SIZE_BYTES, STATES, Ledger, Scoreboard
from ingest.supervision.totals import Totals
from ingest.supervision.worker_process import WorkerProcess
from tests.delivery_rig import open_scoreboard

# The ledger


def test_a_new_ledger_is_empty_and_balanced() -> None:
    assert set(asdict(Ledger()).values()) == {0}
    assert Ledger().is_balanced


@pytest.mark.parametrize("term", [field.name for field in fields(Ledger)])
def test_each_term_counts_in_the_law(term: str) -> None:
    ledger = Ledger(**{term: 1})
    assert not ledger.is_balanced
    opposite = "indexed" if term in ("received", "recovered") else "received"
    setattr(ledger, opposite, 1)
    assert ledger.is_balanced


def test_what_a_dead_worker_held_is_lost_under_its_label() -> None:
    ledger = Ledger(received=7, in_memory_acked=3, in_memory_unacked=4)
    ledger.close()
    assert (ledger.lost_acked, ledger.lost_unacked, ledger.in_memory) == (3, 4, 0)
    assert ledger.is_balanced


def test_every_term_is_published(board: Scoreboard) -> None:
    for number, field in enumerate(fields(Ledger), 1):
        setattr(board.ledger, field.name, number)
    board.publish()
    assert board.read_ledger() == board.ledger


def test_what_is_not_published_is_not_seen(board: Scoreboard) -> None:
    board.ledger.received = board.ledger.indexed = 1
    board.publish()
    board.ledger.received = 2
    assert board.read_ledger() == Ledger(received=1, indexed=1)


class _Interrupted:
    """The words of a board; `between` runs once, right after the generation was read."""

    def __init__(self, words: "memoryview[int]", between: Callable[[], None]):
        self._words = words
        self._between: Callable[[], None] | None = between

    def __getitem__(self, index: int) -> int:
        value = self._words[index]
        if index == 2 and self._between is not None:
            between, self._between = self._between, None
            between()
        return value

    def release(self) -> None:
        self._words.release()


def test_a_ledger_that_is_being_overwritten_is_not_taken() -> None:
    """The writer publishes once and is half through the next ledger while it is being read."""
    with tempfile.TemporaryFile() as memory:
        memory.truncate(SIZE_BYTES)
        writer, reader = Scoreboard(memory.fileno()), Scoreboard(memory.fileno())
        raw = mmap.mmap(memory.fileno(), SIZE_BYTES)
        writer.ledger.received = writer.ledger.indexed = 1
        writer.publish()
        first_copy = raw.find((1).to_bytes(8, "little"), 3 * 8)

        def overtake() -> None:
            writer.ledger.received = writer.ledger.indexed = 2
            writer.publish()
            raw[first_copy : first_copy + 8] = (3).to_bytes(8, "little")

        words = cast(Any, _Interrupted(reader._words, overtake))
        reader._words = words
        assert reader.read_ledger() == Ledger(received=2, indexed=2)
        raw.close()
        reader.close()
        writer.close()


WRITER = """
import sys
from ingest.scoreboard import Scoreboard
board = Scoreboard(int(sys.argv[1]))
board.enter("draining")
for n in range(150_000):
    board.ledger.received += 3
    board.ledger.indexed += 1
    board.ledger.in_memory_unacked += 2
    board.publish()
"""


def test_another_process_always_reads_a_balanced_ledger() -> None:
    with tempfile.TemporaryFile() as memory:
        memory.truncate(SIZE_BYTES)
        board = Scoreboard(memory.fileno())
        descriptor = memory.fileno()
        command = [sys.executable, "-c", WRITER, str(descriptor)]
        writer = subprocess.Popen(command, pass_fds=[descriptor])
        while writer.poll() is None:
            assert board.read_ledger().is_balanced
        assert writer.returncode == 0
        assert board.state == "draining"
        assert board.read_ledger().received == 450_000
        board.close()


# Heartbeat and state


def test_heartbeat_and_states(board: Scoreboard) -> None:
    board.beat()
    assert 0 <= board.heartbeat_age_s < 60
    for state in STATES:
        board.enter(state)
        assert board.state == state


# Metrics


def test_every_metric_has_places_of_its_own(board: Scoreboard) -> None:
    for number, metric in enumerate(metrics.CATALOGUE, 1):
        if metric.kind == "histogram":
            board.observe(metric, number)
            continue
        values = metric.values or (tuple("abc") if metric.dynamic else ("",))
        for place, value in enumerate(values):
            board.set(metric, 1000 * number + place, value)
    for number, metric in enumerate(metrics.CATALOGUE, 1):
        if metric.kind == "histogram":
            *counts, sum_ns = board.read(metric)[""]
            assert (sum(counts), sum_ns) == (1, number * 10**9)
        else:
            slots = board.read(metric).values()
            assert [slot for [slot] in slots] == [1000 * number + i for i in range(len(slots))]


def test_counters_add_and_gauges_are_set(board: Scoreboard) -> None:
    board.add(metrics.REQUESTS, 1, "200")
    board.add(metrics.REQUESTS, 2, "200")
    board.set(metrics.BUFFERS_FREE, 9)
    board.set(metrics.BUFFERS_FREE, 4)
    assert board.read(metrics.REQUESTS)["200"] == [3]
    assert board.read(metrics.BUFFERS_FREE) == {"": [4]}


def test_every_status_that_is_answered_has_a_place(board: Scoreboard) -> None:
    ours = [each for each in RequestError.__subclasses__() if each.__module__ == "ingest.errors"]
    statuses = {RequestError.status} | {each.status for each in ours}
    for status in statuses:
        board.add(metrics.REQUESTS, 1, str(status))
    assert sum(count for [count] in board.read(metrics.REQUESTS).values()) == len(statuses)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0.0, 0),
        (0.001, 0),
        (0.0010001, 1),
        (0.0025, 1),
        (29.9, 13),
        (30.0, 13),
        (30.1, 14),
        (9e9, 14),
    ],
)
def test_a_value_counts_in_the_bucket_whose_bound_it_does_not_pass(
    board: Scoreboard, seconds: float, bucket: int
) -> None:
    board.observe(metrics.REQUEST_SECONDS, seconds)
    *counts, sum_ns = board.read(metrics.REQUEST_SECONDS)[""]
    assert [i for i, count in enumerate(counts) if count] == [bucket]
    assert sum_ns == pytest.approx(seconds * 1e9, abs=1)


def counted(board: Scoreboard) -> dict[str, int]:
    return {name: count for name, [count] in board.read(metrics.DOCUMENTS_TRIMMED).items()}


def test_labels_from_data_are_bounded(board: Scoreboard) -> None:
    bound = metrics.DOCUMENTS_TRIMMED.dynamic
    for _ in range(2):
        for number in range(3 * bound):
            board.add(metrics.DOCUMENTS_TRIMMED, 1, f"field{number}")
    figures = counted(board)
    assert len(figures) == bound
    assert figures["field0"] == figures[f"field{bound - 2}"] == 2
    assert figures["other"] == 2 * (3 * bound - (bound - 1))


STRANGE = [
    pytest.param(["other", "a", "other", "b"], {"other": 2, "a": 1, "b": 1}, id="named other"),
    pytest.param(["", "a"], {"other": 1, "a": 1}, id="empty"),
    pytest.param(["x" * 64 + "1", "x" * 64 + "2"], {"x" * 64: 2}, id="the same in 64 bytes"),
    pytest.param(["x" * 63 + "é"] * 2, {"x" * 63: 2}, id="cut between characters"),
    pytest.param(["é" * 32, "é"], {"é" * 32: 1, "é": 1}, id="just fits"),
    pytest.param(["a\0", "a"], {"a": 2}, id="ends in NUL"),
    pytest.param(["\0b"], {"\0b": 1}, id="begins with NUL"),
]


@pytest.mark.parametrize(("values", "expected"), STRANGE)
def test_strange_label_values_are_not_lost(
    board: Scoreboard, values: list[str], expected: dict[str, int]
) -> None:
    for value in values:
        board.add(metrics.DOCUMENTS_TRIMMED, 1, value)
    assert counted(board) == expected


def test_labels_of_metrics_do_not_mix(board: Scoreboard) -> None:
    board.add(metrics.DOCUMENTS_TRIMMED, 1, "a")
    board.add(metrics.DEAD_LETTERS, 5, "b")
    board.add(metrics.DEAD_LETTERS, 1, "a")
    assert counted(board) == {"a": 1}
    assert board.read(metrics.DEAD_LETTERS) == {"b": [5], "a": [1]}


# Totals of all workers


class Worker:
    resident_bytes = 50_000_000

    def __init__(self, scoreboard: Scoreboard):
        self.scoreboard = scoreboard


def totals_of(*boards: Scoreboard) -> Totals:
    totals = Totals()
    totals.workers = cast("list[WorkerProcess]", [Worker(board) for board in boards])
    return totals


def test_a_buried_workers_figures_stay() -> None:
    with open_scoreboard() as dead, open_scoreboard() as alive:
        for board in (dead, alive):
            board.ledger = Ledger(received=10, indexed=6, in_memory_acked=1, in_memory_unacked=3)
            board.publish()
            board.add(metrics.RECEIVED_BYTES, 100)
            board.observe(metrics.BULK_REQUEST_SECONDS, 0.3)
            board.add(metrics.DEAD_LETTERS, 2, "mapping")
            board.set(metrics.BUFFERS_FREE, 24)
        totals = totals_of(alive)
        last = totals.bury(dead)
        assert last.lost == 4
        ledger = totals.ledger()
        assert ledger.is_balanced
        assert (ledger.received, ledger.indexed, ledger.in_memory) == (20, 12, 4)
        assert (ledger.lost_acked, ledger.lost_unacked) == (1, 3)
        assert totals.figures(metrics.RECEIVED_BYTES) == {"": [200]}
        assert totals.figures(metrics.DEAD_LETTERS) == {"mapping": [4]}
        assert totals.figures(metrics.BULK_REQUEST_SECONDS)[""][-1] == 600_000_000
        assert totals.figures(metrics.BUFFERS_FREE) == {"": [24]}


def test_a_burial_does_not_change_the_dead_workers_own_board() -> None:
    with open_scoreboard() as dead:
        dead.ledger = Ledger(received=1, in_memory_acked=1)
        dead.publish()
        totals_of().bury(dead)
        assert dead.read_ledger().in_memory == 1


def test_histograms_are_shown_cumulative() -> None:
    with open_scoreboard() as board:
        for seconds in (0.0005, 0.002, 0.002, 100.0):
            board.observe(metrics.REQUEST_SECONDS, seconds)
        families = {family.name: family for family in totals_of(board).collect()}
    samples = families["ingest_request_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if s.name.endswith("_bucket")}
    assert (buckets["0.001"], buckets["0.0025"], buckets["30.0"], buckets["+Inf"]) == (1, 3, 3, 4)
    assert [s.value for s in samples if s.name.endswith("_count")] == [4]
    assert [s.value for s in samples if s.name.endswith("_sum")] == [pytest.approx(100.0045)]

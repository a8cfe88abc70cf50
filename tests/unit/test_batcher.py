"""Batches leave by size, by count and by age."""

from collections.abc import Callable

import pytest

from ingest.batcher import Batcher
from ingest.chunk import Chunk, Lot
from tests.delivery_rig import CountingReceipt

RECEIPT = CountingReceipt(0)


class Timer:
    """What `call_later` gave; fires when a test says so."""

    def __init__(self, after_s: float, callback: Callable[[], None]):
        self.after_s = after_s
        self.is_cancelled = False
        self._callback = callback

    def cancel(self) -> None:
        self.is_cancelled = True

    def fire(self) -> None:
        assert not self.is_cancelled
        self._callback()


class Rig:
    def __init__(self, flush_bytes: int = 100, flush_documents: int = 10):
        self.sent: list[list[int]] = []
        self.timers: list[Timer] = []
        self.batcher = Batcher(
            lambda batch: self.sent.append([len(chunk.bulk) for chunk in batch]),
            self._call_later,
            flush_bytes=flush_bytes,
            flush_documents=flush_documents,
            flush_interval_s=0.5,
        )

    def _call_later(self, after_s: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(after_s, callback))
        return self.timers[-1]

    def add(self, *sizes: int, count: int = 1) -> None:
        for size in sizes:
            self.batcher.add(
                Chunk(b"x" * size, count, Lot(RECEIPT, count), range(count), range(count))
            )

    @property
    def running(self) -> list[Timer]:
        return [timer for timer in self.timers if not timer.is_cancelled]


@pytest.mark.parametrize(
    ("sizes", "sent", "left"),
    [
        pytest.param([99], [], 1, id="less waits"),
        pytest.param([100], [[100]], 0, id="just full"),
        pytest.param([60, 40], [[60, 40]], 0, id="filled up"),
        pytest.param([60, 41], [[60]], 1, id="would be too large"),
        pytest.param([500], [[500]], 0, id="a chunk over the limit goes alone"),
        pytest.param([60, 500], [[60], [500]], 0, id="and lets what waits go first"),
        pytest.param([60, 60, 60, 60], [[60], [60], [60]], 1, id="one after the other"),
    ],
)
def test_a_batch_is_never_larger_than_flush_bytes(
    sizes: list[int], sent: list[list[int]], left: int
) -> None:
    rig = Rig()
    rig.add(*sizes)
    assert rig.sent == sent
    assert len(rig.running) == (1 if left else 0)


def test_a_batch_leaves_with_flush_documents() -> None:
    rig = Rig()
    rig.add(1, count=9)
    assert rig.sent == []
    rig.add(1, count=1)
    assert rig.sent == [[1, 1]]


def test_the_first_chunk_of_a_batch_sets_its_age() -> None:
    rig = Rig()
    rig.add(1, 2, 3)
    [timer] = rig.timers
    assert timer.after_s == 0.5
    timer.fire()
    assert rig.sent == [[1, 2, 3]]
    rig.add(4)
    assert len(rig.timers) == 2
    rig.timers[1].fire()
    assert rig.sent == [[1, 2, 3], [4]]


def test_a_full_batch_does_not_leave_its_timer_to_the_next() -> None:
    rig = Rig()
    rig.add(60, 60)
    assert [timer.is_cancelled for timer in rig.timers] == [True, False]


def test_flush_sends_what_there_is_and_nothing_twice() -> None:
    rig = Rig()
    rig.add(1)
    rig.batcher.flush()
    rig.batcher.flush()
    assert rig.sent == [[1]]
    assert rig.running == []


def test_counts_begin_anew_with_each_batch() -> None:
    rig = Rig()
    for _ in range(3):
        rig.add(50, count=6)
        rig.add(30, count=3)
        rig.batcher.flush()
    assert rig.sent == [[50, 30]] * 3

"""One worker looks for all: however many there are, Elasticsearch is asked about as if by one."""

import heapq
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.delivery.backoff import Backoff
from ingest.delivery.lookout import INTERVAL_S, LOOKING_S, Lookout

OUTAGE_S = 600.0
BACKOFF_MAX_S = 30.0


class Time:
    """Passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def ns(self) -> int:
        return int(self.now_s * 1e9)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def lookout_of(tmp_path: Path, time: Time) -> Callable[[int], Lookout]:
    return lambda pid: Lookout(tmp_path, time.ns, pid)


def test_while_one_looks_no_other_does(lookout_of: Callable[[int], Lookout]) -> None:
    assert lookout_of(1).try_begin()
    assert not lookout_of(2).try_begin()


def test_who_looked_in_vain_bars_the_others_for_an_interval(
    lookout_of: Callable[[int], Lookout], time: Time
) -> None:
    one, other = lookout_of(1), lookout_of(2)
    one.try_begin()
    one.end(is_found=False)
    time.now_s += INTERVAL_S - 0.001
    assert not other.try_begin()
    time.now_s += 0.002
    assert other.try_begin()


def test_but_not_itself_so_that_one_worker_goes_by_its_own_pauses(
    lookout_of: Callable[[int], Lookout],
) -> None:
    one = lookout_of(1)
    for _ in range(3):
        assert one.try_begin()
        one.end(is_found=False)


def test_who_finds_it_lets_the_others_look_at_once(
    lookout_of: Callable[[int], Lookout],
) -> None:
    one, other = lookout_of(1), lookout_of(2)
    one.try_begin()
    one.end(is_found=True)
    assert other.try_begin()


@pytest.mark.parametrize(
    "later_s", [LOOKING_S + 0.001, -500.0], ids=["died while looking", "before a reboot"]
)
def test_nobody_is_barred_for_long_by_one_who_is_gone(
    lookout_of: Callable[[int], Lookout], time: Time, later_s: float
) -> None:
    lookout_of(1).try_begin()
    time.now_s += later_s
    assert lookout_of(2).try_begin()


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 16, b"\xff" * 99])
def test_a_spoilt_file_bars_nobody(
    lookout_of: Callable[[int], Lookout], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "lookout").write_bytes(content)
    assert lookout_of(2).try_begin()


def test_where_it_can_not_be_written_each_looks_for_itself(tmp_path: Path) -> None:
    for pid in (1, 2):
        lookout = Lookout(tmp_path / "not there", pid=pid)
        assert lookout.try_begin()
        lookout.end(is_found=False)


@pytest.mark.parametrize("workers", [1, 2, 8, 64])
def test_over_a_long_outage_a_service_asks_once_an_interval_and_comes_back_by_and_by(
    lookout_of: Callable[[int], Lookout], time: Time, workers: int
) -> None:
    """Workers as the bulk writer has them: a pause, perhaps a look, a longer pause."""
    backoff = Backoff(0.2, BACKOFF_MAX_S, random.Random(7).random)
    lookouts = [lookout_of(pid) for pid in range(1, workers + 1)]
    began_s = time.now_s
    wakes = [(began_s + backoff.pause_s(1), worker, 1) for worker in range(workers)]
    looks, back = list[float](), list[float]()
    heapq.heapify(wakes)
    while wakes:
        time.now_s, worker, pauses = heapq.heappop(wakes)
        at_s = time.now_s - began_s
        if lookouts[worker].try_begin():
            is_found = at_s > OUTAGE_S
            lookouts[worker].end(is_found=is_found)
            (back if is_found else looks).append(at_s)
            if is_found:
                continue
        wake_s = time.now_s + backoff.pause_s(pauses + 1)
        heapq.heappush(wakes, (wake_s, worker, pauses + 1))
    assert len(looks) <= 1.1 * OUTAGE_S / INTERVAL_S + 10  # of these 10 at first, by one worker
    assert len(back) == workers
    assert max(back) - min(back) <= BACKOFF_MAX_S
    assert max(back) - OUTAGE_S <= 2 * BACKOFF_MAX_S

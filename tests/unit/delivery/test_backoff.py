"""Pauses double up to a ceiling and are drawn from all that is below it."""

import pytest

from ingest.delivery.backoff import Backoff


@pytest.mark.parametrize(
    ("attempts", "pause_s"), [(1, 0.2), (2, 0.4), (3, 0.8), (8, 25.6), (9, 30.0), (10**9, 30.0)]
)
def test_the_ceiling_doubles_to_its_maximum(attempts: int, pause_s: float) -> None:
    assert Backoff(0.2, 30.0, lambda: 1.0).pause_s(attempts) == pytest.approx(pause_s)


@pytest.mark.parametrize("drawn", [0.0, 0.25, 0.999])
def test_the_pause_is_drawn_from_the_whole_range(drawn: float) -> None:
    assert Backoff(1.0, 30.0, lambda: drawn).pause_s(3) == pytest.approx(4 * drawn)


def test_a_first_pause_over_the_maximum_is_the_maximum() -> None:
    assert Backoff(50.0, 30.0, lambda: 1.0).pause_s(1) == 30.0

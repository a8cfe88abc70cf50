"""The shapes of load, as functions of time."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.shapes import SHAPES, Shape, users_at

SECONDS, USERS = 100, 20


@pytest.mark.parametrize(
    ("shape", "users"),
    [
        pytest.param("ramp", [1, 6, 11, 20, 20, 20], id="ramp"),
        pytest.param("step", [4, 4, 4, 8, 12, 20], id="step"),
        pytest.param("spike", [20, 20, 20, 20, 100, 20], id="spike"),
        pytest.param("soak", [20] * 6, id="soak"),
    ],
)
def test_users_over_time(shape: Shape, users: list[int]) -> None:
    seconds = [0, 10, 19, 35, 50, 90]
    assert [users_at(shape, second, USERS, SECONDS) for second in seconds] == users


@pytest.mark.parametrize("shape", SHAPES)
@given(users=st.integers(1, 1000), seconds=st.integers(1, 10_000))
def test_a_run_reaches_its_users_and_ends(shape: Shape, users: int, seconds: int) -> None:
    counts = [users_at(shape, seconds * part / 50, users, seconds) for part in range(50)]
    reached = [count for count in counts if count is not None]
    assert len(reached) == 50
    assert min(reached) >= 1
    assert max(reached) == users * (5 if shape == "spike" else 1)
    assert users_at(shape, seconds, users, seconds) is None


@pytest.mark.parametrize("shape", ["ramp", "step"])
def test_rising_shapes_never_fall(shape: Shape) -> None:
    counts = [users_at(shape, second, USERS, SECONDS) or 0 for second in range(SECONDS)]
    assert all(before <= after for before, after in pairwise(counts))

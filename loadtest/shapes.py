"""How the number of producers changes in a run: plain functions of the elapsed time.

`users` is the load that the service is meant to carry; only *spike* goes beyond it.

    ramp    rises to `users` over the first third, then stays
    step    a fifth, two fifths, …: shows from which step on latency grows
    spike   `users`, in the middle five times as many for a fifth of the time, then `users` again
    soak    `users` all the time, for hours
"""

from collections.abc import Callable
from typing import Literal, get_args

Shape = Literal["ramp", "step", "spike", "soak"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
SECONDS: dict[Shape, int] = {"ramp": 30, "step": 60, "spike": 45, "soak": 1800}

SPIKE_FACTOR = 5
_STEPS = 5


def users_at(shape: Shape, elapsed_s: float, users: int, seconds: float) -> int | None:
    """How many producers there shall be now; None when the run is over."""
    share = elapsed_s / seconds
    return None if share >= 1 else max(1, round(users * _FACTORS[shape](share)))


def _ramp(share: float) -> float:
    return min(1.0, share * 3)


def _step(share: float) -> float:
    return (int(share * _STEPS) + 1) / _STEPS


def _spike(share: float) -> float:
    return SPIKE_FACTOR if 0.4 <= share < 0.6 else 1.0


def _soak(share: float) -> float:
    return 1.0


_FACTORS: dict[Shape, Callable[[float], float]] = {
    "ramp": _ramp,
    "step": _step,
    "spike": _spike,
    "soak": _soak,
}

"""Dates in names: UTC, and else the receive time."""

import time
from typing import Any

import pytest

from ingest.router.targets import UtcDates
from tests.unit.router.rig import NOW

UNREADABLE_DATES: list[Any] = [
    *(None, "", "Z", "yesterday", "9999-99-99T99Z", "0001-01-01T00:00:00+14:00"),
    *(10**18, -(10**18), 1e308, float("inf"), True, ["2023-01-02"], {}),
]


@pytest.mark.parametrize(
    ("value", "date"),
    [
        pytest.param("2023-01-02T03:04:05Z", "2023.01.02-03", id="UTC"),
        pytest.param("2023-01-02T03:04:05.123456789Z", "2023.01.02-03", id="nanoseconds"),
        pytest.param("2023-01-02T03:04:05+00:00", "2023.01.02-03", id="offset of zero"),
        pytest.param("2023-01-02 03:04:05Z", "2023.01.02-03", id="space instead of T"),
        pytest.param("2023-01-02T23:59:60Z", "2023.01.02-23", id="leap second"),
        pytest.param("2023-01-02T01:04:05+02:00", "2023.01.01-23", id="east"),
        pytest.param("2023-01-02T23:40:05-0530", "2023.01.03-05", id="west"),
        pytest.param("2023-01-02T03:04:05", "2023.01.02-03", id="no zone is UTC"),
        pytest.param("2023-01-02", "2023.01.02-00", id="date only"),
        pytest.param(1_672_628_645_000, "2023.01.02-03", id="milliseconds"),
        pytest.param(1_672_628_645_000.5, "2023.01.02-03", id="decimal milliseconds"),
        pytest.param(-1, "1969.12.31-23", id="before 1970"),
        *[
            pytest.param(value, "2024.05.06-12", id=f"unreadable {value!r}"[:30])
            for value in UNREADABLE_DATES
        ],
    ],
)
def test_dates_are_utc_and_else_the_receive_time(value: Any, date: str) -> None:
    dates = UtcDates("%Y.%m.%d-%H", lambda: NOW)
    assert [dates.text_of(value), dates.text_of(value)] == [date, date]


def test_dates_without_a_zone_do_not_depend_on_the_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        dates = UtcDates("%d-%H", lambda: NOW)
        assert [dates.text_of("2023-01-02T03:04:05"), dates.text_of(None)] == ["02-03", "06-12"]
    finally:
        monkeypatch.undo()
        time.tzset()

"""Room: reserved, refused, and granted again only when there is clearly some."""

import pytest

from ingest.spool.quota import RETRY_AFTER_MAX_S, Quota


def _measure(quota: Quota, disk: int, free: int | None = None, settled: int = 0) -> None:
    quota.measure(disk, free, settled, elapsed_s=1.0)


def test_what_is_reserved_queued_and_stored_counts() -> None:
    quota = Quota(1000, 0)
    _measure(quota, disk=300)
    quota.queue(200)
    assert quota.reserve(500)
    assert quota.used_bytes == 1000
    assert not quota.reserve(1)


def test_a_written_byte_counts_once() -> None:
    quota = Quota(1000, 0)
    quota.queue(200)
    quota.unqueue(200, disk_bytes=264)
    assert quota.used_bytes == 264


def test_a_released_reservation_is_free_again() -> None:
    quota = Quota(1000, 0)
    assert quota.reserve(1000)
    quota.release(1000)
    assert quota.used_bytes == 0


def test_it_sheds_until_it_is_well_below_the_limit() -> None:
    quota = Quota(1000, 0)
    _measure(quota, disk=1000)
    assert not quota.reserve(1)
    _measure(quota, disk=950)
    assert quota.is_shedding
    assert not quota.reserve(1)
    _measure(quota, disk=900)
    assert not quota.is_shedding
    assert quota.reserve(1)


def test_free_space_is_kept_for_others() -> None:
    quota = Quota(1 << 40, 1000)
    _measure(quota, disk=0, free=1500)
    assert quota.reserve(500)
    assert not quota.reserve(1)
    quota.release(500)
    _measure(quota, disk=0, free=1050)
    assert quota.is_shedding
    _measure(quota, disk=0, free=1100)
    assert not quota.is_shedding


def test_bytes_written_since_the_measurement_are_not_free() -> None:
    quota = Quota(1 << 40, 1000)
    _measure(quota, disk=0, free=1500)
    quota.queue(400)
    quota.unqueue(400, disk_bytes=400)
    assert not quota.reserve(101)


def test_a_disk_that_was_full_is_tried_after_a_measurement() -> None:
    quota = Quota(1000, 0)
    quota.disk_is_full()
    assert not quota.reserve(1)
    _measure(quota, disk=0)
    assert quota.reserve(1)


@pytest.mark.parametrize(
    ("settled", "expected_s"),
    [
        pytest.param(0, RETRY_AFTER_MAX_S, id="nothing drains"),
        pytest.param(1, RETRY_AFTER_MAX_S, id="hardly anything drains"),
        pytest.param(100, 4, id="100 over, 30 a second"),
        pytest.param(100_000, 1, id="at once"),
    ],
)
def test_retry_after_follows_the_drain_rate(settled: int, expected_s: int) -> None:
    quota = Quota(1000, 0)
    _measure(quota, disk=1000, settled=settled)
    assert quota.retry_after_s() == expected_s


def test_what_all_spools_hold_counts_against_what_they_share() -> None:
    quota = Quota(1000, 0, 1500)
    quota.measure(100, None, 0, 1.0, others_bytes=1200)
    assert quota.reserve(200)
    assert not quota.reserve(1)
    quota.measure(100, None, 0, 1.0, others_bytes=1051)
    assert quota.is_shedding
    quota.measure(100, None, 0, 1.0, others_bytes=1050)
    assert not quota.is_shedding


def test_a_spool_keeps_to_its_own_share_of_what_they_share() -> None:
    quota = Quota(1000, 0, 1500)
    assert not quota.reserve(1001)

"""Failpoints: they fire when asked to, and only then."""

import pytest

from ingest.failpoints import NAMES, make_failpoint, off
from ingest.spool.files import FailpointFiles, Files, files_for


@pytest.mark.parametrize(("setting", "fires_at"), [("after_write", 1), ("after_write:3", 3)])
def test_it_fires_once_at_its_passing(setting: str, fires_at: int) -> None:
    passed: list[str] = []
    fired: list[int] = []
    hit = make_failpoint(setting, kill=lambda: fired.append(len(passed)))
    for _ in range(5):
        hit("before_write")
        passed.append("after_write")
        hit("after_write")
    assert fired == [fires_at]


@pytest.mark.parametrize("setting", ["no_such_place", "after_write:0", "after_write:x", ":3"])
def test_a_failpoint_that_can_never_fire_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=r"failpoint|invalid literal"):
        make_failpoint(setting)


@pytest.mark.parametrize("setting", [None, ""])
def test_without_a_setting_there_is_nothing_to_pay(setting: str | None) -> None:
    hit = make_failpoint(setting)
    assert hit is off
    assert type(files_for(hit)) is Files


def test_with_a_setting_the_files_are_watched() -> None:
    assert type(files_for(make_failpoint("before_unlink"))) is FailpointFiles


def test_the_bulk_writer_has_its_places() -> None:
    assert {"bulk_send", "bulk_answer", "before_ack", "after_ack", "mid_write"} <= NAMES

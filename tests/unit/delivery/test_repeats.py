"""A line at once, then one an interval that stands for all that came meanwhile."""

from ingest.delivery.repeats import INTERVAL_S, KINDS_MAX, Repeats


class Log:
    """Repeats as they are used: told at each event, and now and then."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lines: list[tuple[str, int]] = []
        self.repeats = Repeats(lambda: self.now_s)

    def happen(self, kind: str, count: int = 1) -> None:
        self.repeats.add(kind, count)
        self.look()

    def look(self) -> None:
        self.lines += self.repeats.due()


def test_the_first_is_told_at_once_and_the_rest_together() -> None:
    log = Log()
    for _ in range(10_000):
        log.happen("a")
    assert log.lines == [("a", 1)]
    log.now_s = INTERVAL_S
    log.look()
    assert log.lines == [("a", 1), ("a", 9_999)]


def test_each_kind_has_its_own_interval() -> None:
    log = Log()
    log.happen("a", 2)
    log.now_s = INTERVAL_S / 2
    log.happen("b", 3)
    log.happen("a", 4)
    log.now_s = INTERVAL_S
    log.happen("b", 5)
    log.now_s = INTERVAL_S * 1.5
    log.look()
    assert log.lines == [("a", 2), ("b", 3), ("a", 4), ("b", 5)]


def test_a_quiet_kind_is_told_at_once_again() -> None:
    log = Log()
    log.happen("a")
    log.now_s = 5 * INTERVAL_S
    log.look()
    log.happen("a")
    assert log.lines == [("a", 1), ("a", 1)]


def test_at_the_end_nothing_is_left_untold() -> None:
    log = Log()
    log.happen("a")
    log.happen("a", 7)
    assert log.repeats.due(is_end=True) == [("a", 7)]
    assert log.repeats.due(is_end=True) == []


def test_kinds_are_bounded_and_none_is_dropped() -> None:
    log = Log()
    for number in range(10 * KINDS_MAX):
        log.happen(f"kind {number}")
    log.lines += log.repeats.due(is_end=True)
    assert len(log.lines) <= KINDS_MAX + 2
    assert sum(count for _, count in log.lines) == 10 * KINDS_MAX

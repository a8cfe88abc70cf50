"""The low-water mark, when bulk requests complete in any order."""

import pytest

from ingest.spool.format import Position
from ingest.spool.record import Record
from ingest.spool.unsettled import Unsettled

END = (9, 900)


def _filled(*counts: int) -> tuple[Unsettled, list[Record]]:
    unsettled = Unsettled()
    records = []
    for number, count in enumerate(counts, start=1):
        record = Record(unsettled.next_sequence, count, length=10, appended_s=float(number))
        unsettled.add(record)
        record.file, record.offset = number, number * 100
        records.append(record)
    return unsettled, records


def test_the_mark_stays_at_the_oldest_open_record() -> None:
    unsettled, _ = _filled(10, 10, 10)
    unsettled.settle(range(10, 30))
    assert unsettled.low_water(*END) == Position(1, 100, 0)
    unsettled.settle(range(10))
    assert unsettled.low_water(*END) == Position(*END, 30)


def test_a_partly_settled_record_is_kept_whole() -> None:
    unsettled, _ = _filled(10, 10)
    unsettled.settle([0, 1, 2, 3, 5, 6, 7, 8, 9])
    assert unsettled.low_water(*END) == Position(1, 100, 0)
    assert unsettled.documents == 11
    unsettled.settle([4])
    assert unsettled.low_water(*END) == Position(2, 200, 10)
    assert unsettled.documents == 10


def test_one_settlement_may_span_records() -> None:
    unsettled, _ = _filled(10, 10, 10)
    unsettled.settle(range(5, 25))
    assert unsettled.documents == 10
    unsettled.settle(range(30))
    assert unsettled.documents == unsettled.bytes == 0


@pytest.mark.parametrize(
    "sequences",
    [
        pytest.param(range(5), id="the same again"),
        pytest.param([0, 0, 1], id="twice in one list"),
        pytest.param(range(100, 200), id="never seen"),
        pytest.param(range(0), id="none"),
        pytest.param([], id="empty list"),
    ],
)
def test_repeated_and_unknown_sequences_change_nothing(sequences: range | list[int]) -> None:
    unsettled, _ = _filled(10)
    unsettled.settle(range(5))
    unsettled.settle(sequences)
    assert unsettled.documents == 5


def test_a_range_with_a_step_settles_its_members_only() -> None:
    unsettled, _ = _filled(10)
    unsettled.settle(range(0, 10, 2))
    assert unsettled.documents == 5


def test_the_mark_does_not_pass_a_record_that_is_not_written() -> None:
    unsettled, records = _filled(10, 10)
    records[0].file = 0
    unsettled.settle(range(20))
    assert unsettled.low_water(*END) == Position(*END, 0)


def test_a_forgotten_record_holds_nothing_up() -> None:
    unsettled, records = _filled(10, 10)
    unsettled.settle(range(3))
    unsettled.forget(records[0])
    assert unsettled.documents == 10
    assert unsettled.low_water(*END) == Position(2, 200, 10)
    unsettled.settle(range(20))
    assert unsettled.documents == unsettled.bytes == 0


def test_the_list_of_records_stays_short() -> None:
    unsettled = Unsettled()
    for sequence in range(50_000):
        record = Record(sequence, 1, length=1, appended_s=0.0)
        unsettled.add(record)
        record.file = 1
        unsettled.settle([sequence])
        unsettled.low_water(*END)
    assert len(unsettled._records) < 10_000
    assert unsettled.documents == 0

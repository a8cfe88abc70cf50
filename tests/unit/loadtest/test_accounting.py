"""The producers' counts against the service's: one missing document is a fault."""

import pytest

from loadtest import accounting
from loadtest.accounting import Sent
from loadtest.posts import Post
from loadtest.verdicts import Verdict

NOTHING = dict.fromkeys(
    (
        "received",
        "recovered",
        "rejected",
        "indexed",
        "duplicate",
        "dead_letter",
        "lost",
        "in_memory",
        "spooled",
    ),
    0,
)
EARLIER = {**NOTHING, "received": 50, "rejected": 10, "indexed": 39, "dead_letter": 1}
TOLD = Verdict(received=10, accepted=8, rejected=2)


def counts(**more: int) -> dict[str, int]:
    return {name: count + more.get(name, 0) for name, count in EARLIER.items()}


def sent(unanswered: int = 0) -> Sent:
    """One answered post of ten documents, two of them refused; more without an answer."""
    total = Sent()
    total.begin(10)
    total.end(Post(b"", 10), TOLD)
    if unanswered:
        total.begin(unanswered)
    return total


@pytest.mark.parametrize(
    ("unanswered", "after"),
    [
        pytest.param(0, counts(received=10, rejected=2, indexed=8), id="exactly"),
        pytest.param(0, counts(received=10, rejected=2, indexed=7, duplicate=1), id="duplicate"),
        pytest.param(5, counts(received=10, rejected=2, indexed=8), id="nothing-of-the-unanswered"),
        pytest.param(5, counts(received=15, rejected=3, indexed=12), id="all-of-the-unanswered"),
    ],
)
def test_what_adds_up_is_no_fault(unanswered: int, after: dict[str, int]) -> None:
    assert accounting.faults(sent(unanswered), EARLIER, after) == []


@pytest.mark.parametrize(
    ("unanswered", "after", "fault"),
    [
        pytest.param(0, counts(received=9, rejected=2, indexed=7), "received", id="too-few"),
        pytest.param(0, counts(received=11, rejected=2, indexed=9), "received", id="too-many"),
        pytest.param(5, counts(received=16, rejected=2, indexed=14), "received", id="beyond-sent"),
        pytest.param(0, counts(received=10, rejected=1, indexed=9), "rejected", id="rejected"),
        pytest.param(0, counts(received=10, rejected=3, indexed=7), "accepted", id="not-accepted"),
        pytest.param(0, counts(received=10, rejected=2, indexed=7), "law is broken", id="law"),
        pytest.param(0, counts(received=10, rejected=2, indexed=7, lost=1), "lost", id="lost"),
        pytest.param(
            0, counts(received=10, rejected=2, in_memory=8), "no outcome yet", id="in-memory"
        ),
        pytest.param(0, counts(received=10, rejected=2, spooled=8), "no outcome yet", id="spooled"),
    ],
)
def test_what_does_not_add_up_is_told(unanswered: int, after: dict[str, int], fault: str) -> None:
    assert any(fault in each for each in accounting.faults(sent(unanswered), EARLIER, after))


def test_a_run_that_sent_nothing_is_a_fault() -> None:
    assert accounting.faults(Sent(), EARLIER, EARLIER) == ["no post was sent"]


def test_counts_of_processes_add_up() -> None:
    total = sent()
    total.add(sent(unanswered=5))
    assert (total.posts, total.documents, total.unanswered) == (3, 25, 5)
    assert (total.received, total.accepted, total.rejected) == (20, 16, 4)

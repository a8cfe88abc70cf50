"""From a batch to the outcome of each of its documents, whatever Elasticsearch answers."""

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.chunk import Chunk
from ingest.delivery.cluster import Answer
from tests.delivery_rig import (
    INDEXED,
    CountingReceipt,
    Delivery,
    answer_of,
    chunk_of,
    failed,
    open_scoreboard,
)
from tests.unit.delivery.bulk_writer.rig import REFUSAL, unanswered

FATES = st.sampled_from(["indexed", "again", "lied", "bad", "stored"])
WHOLE = st.sampled_from(["items", "items", "items", "unanswered", "lost answer", "413", "html"])


@dataclass
class UnsteadyNode:
    """Keeps what it was sent, answers as it is told, and is well in the end."""

    whole: list[str]  # how requests are answered, last first
    fates: list[str]  # what becomes of documents
    poison: set[int]  # the documents with which a whole request is refused
    kept: set[int] = field(default_factory=set)

    def answer(self, ids: list[int]) -> Answer:
        kind = self.whole.pop() if self.whole else "items"
        if kind == "unanswered":
            return unanswered(ids)
        if kind == "html":
            return Answer(200, b"<html>")
        if kind == "413" and len(ids) > 1:
            return Answer(413, b"")
        if self.poison & set(ids):
            return Answer(400, orjson.dumps(REFUSAL))
        answer = answer_of([self._result(n) for n in ids])
        return unanswered(ids) if kind == "lost answer" else answer

    def _result(self, n: int) -> dict[str, Any]:
        fate = self.fates.pop() if self.fates else "indexed"
        if n in self.kept:
            return failed(409)
        if fate == "bad":
            return failed(400)
        if fate in ("indexed", "lied", "stored"):
            self.kept.add(n)
        if fate == "stored":
            return {"status": 201, "failure_store": "used"}
        return failed(503) if fate in ("lied", "again") else INDEXED


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=6),
    st.lists(WHOLE, max_size=12),
    st.lists(FATES, max_size=40),
    st.sets(st.integers(0, 40), max_size=3),
)
def test_every_document_has_one_outcome_that_is_true(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[list[int]],
    whole: list[str],
    fates: list[str],
    poison: set[int],
) -> None:
    node = UnsteadyNode(whole[:], fates[:], poison)
    numbers = iter(range(1000))
    batches: list[list[Chunk]] = [
        [chunk_of([next(numbers) for _ in range(count)]) for count in batch] for batch in sizes
    ]
    with open_scoreboard() as board:
        delivery = Delivery(board, tmp_path_factory.mktemp("data"), node.answer, max_in_flight=2)
        delivery.deliver(*batches)
        ledger = delivery.ledger
        letters = [letter["document"]["n"] for letter in delivery.letters()]
        delivery.dead_letters.close()
    chunks = [chunk for batch in batches for chunk in batch]
    everything = {n for chunk in chunks for n in chunk.positions}
    assert ledger.received == ledger.indexed + ledger.duplicate + ledger.dead_letter
    assert len(letters) == len(set(letters)) == ledger.dead_letter
    assert node.kept | set(letters) == everything
    assert {n for chunk in chunks for n in positions_failed(chunk)} == set(letters)


def positions_failed(chunk: Chunk) -> list[int]:
    receipt = chunk.lot.receipt
    assert isinstance(receipt, CountingReceipt)
    assert receipt.is_settled
    return [each.position for each in receipt.failures]

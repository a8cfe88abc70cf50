"""The spool against a plain model: lives of a worker, with crashes, faults, rot and adoption.

The model knows of each record which of its documents are settled and whether it was promised (its
ack has left). What is promised and not wholly settled must come back, as it was; nothing else may.
`INGEST_TEST_SCALE=10` runs ten times as many examples.
"""

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from ingest.spool import Surroundings, adopt, check, dump, orphans
from ingest.spool.orphan import Orphan
from ingest.spool.record import Record
from ingest.spool.recovered import Recovered
from tests.unit.spool.rig import Rig, UnsyncedFiles, payload_of
from tests.unit.spool.scripted_files import QuickFiles

SHAPES = st.tuples(st.integers(1, 5), st.sampled_from([1, 90, 1500, 4100]))  # documents, bytes
SCALE = int(os.environ.get("INGEST_TEST_SCALE", "1"))


@dataclass
class Promise:
    """The model's record."""

    count: int
    payload: bytes
    is_kept: bool = False  # acked, and not damaged since
    settled: set[int] = field(default_factory=set)

    @property
    def must_come(self) -> bool:
        return self.is_kept and len(self.settled) < self.count


class SpoolMachine(RuleBasedStateMachine):
    """Sequences go on from life to life, so each payload is told from all others."""

    appended = Bundle("appended")
    handed_out = Bundle("handed_out")

    @initialize()
    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="spool-model-")).resolve()
        self.lives = 0
        self.promises: dict[int, Promise] = {}
        self.orphan: Orphan | None = None
        self.reading = iter(list[Recovered]())
        self.begin_life(0)

    def begin_life(self, next_sequence: int) -> None:
        self.data_dir = self.root / str(self.lives)
        self.files = QuickFiles()
        self.rig = Rig(self.data_dir, self.files, directory_id=UUID(int=self.lives + 1))
        self.rig.next_sequence = next_sequence
        self.records: dict[int, Record] = {}
        self.deferred: list[int] = []
        self.deferred_to = -1
        self.heard = 0

    @rule(
        target=appended,
        shapes=st.lists(SHAPES, min_size=1, max_size=6),
        gap=st.sampled_from([0, 0, 3]),
        is_one_group=st.booleans(),
    )
    def append(self, shapes: list[tuple[int, int]], gap: int, is_one_group: bool) -> list[int]:
        self.rig.next_sequence += gap
        firsts = []
        for count, size in shapes:
            if not self.rig.spool.is_healthy:
                break
            record = self.rig.queue(count, size)
            firsts.append(record.first_sequence)
            self.records[record.first_sequence] = record
            self.promises[record.first_sequence] = Promise(
                count, payload_of(record.first_sequence, size)
            )
            if not is_one_group:
                self.commit()
        return firsts

    @rule()
    def commit(self) -> None:
        self.rig.spool.turn()
        self.hear()

    @rule()
    def pass_a_second(self) -> None:
        self.rig.tick()
        self.hear()

    @rule(firsts=appended, start=st.integers(0, 4), length=st.integers(1, 12))
    def settle(self, firsts: list[int], start: int, length: int) -> None:
        for first in firsts[:1]:
            self.settle_span(range(first + start, first + start + length))

    @rule(firsts=consumes(appended), skipped=st.integers(0, 7), backwards=st.booleans())
    def settle_whole(self, firsts: list[int], skipped: int, backwards: bool) -> None:
        for number, first in enumerate(firsts):
            span = range(first, first + self.promises[first].count)
            if number != skipped:
                self.settle_span(list(reversed(span)) if backwards else span)

    @rule(firsts=appended)
    def defer(self, firsts: list[int]) -> None:
        """As the service does: only what is durable, none of it settled, in its order."""
        for first in firsts:
            record, promise = self.records.get(first), self.promises[first]
            if record and promise.is_kept and not promise.settled and first > self.deferred_to:
                self.rig.spool.defer(record)
                self.deferred_to = first
                self.deferred.append(first)
                del self.records[first]

    @rule(times=st.integers(1, 5))
    def bring_back(self, times: int) -> None:
        for first in self.deferred[:times]:
            recovered = self.rig.spool.bring_back()
            assert recovered is not None
            assert recovered.first_sequence == first
            assert recovered.payload == self.promises[first].payload
            self.records[first] = recovered.record
        del self.deferred[:times]
        assert self.rig.spool.has_deferred == bool(self.deferred)

    @rule(firsts=appended)
    def read(self, firsts: list[int]) -> None:
        on_disk = self.rig.on_disk()
        for first in firsts:
            record = self.records.get(first)
            if record and record.is_stored and self.promises[first].must_come:
                assert on_disk[first] == self.promises[first].payload

    @rule(
        operation=st.sampled_from(["pwritev", "fdatasync", "ftruncate", "open_new", "pwrite"]),
        error=st.sampled_from([errno.EIO, errno.ENOSPC]),
        passes=st.integers(0, 3),
        times=st.integers(1, 4),
        short=st.lists(st.integers(1, 200), max_size=1),
    )
    def disturb_the_disk(
        self, operation: str, error: int, passes: int, times: int, short: list[int]
    ) -> None:
        self.files.write_short(*short)
        self.files.fail(operation, error, passes=passes, times=times)

    @rule()
    def heal_the_disk(self) -> None:
        self.files.heal()
        self.rig.tick()
        self.hear()
        assert self.rig.spool.is_healthy

    @precondition(lambda self: len(self.records) > 2)
    @rule()
    def crash(self) -> None:
        """All files as they are at this moment live on; neither spool nor adopter ends well."""
        self.lives += 1
        shutil.copytree(self.data_dir, self.root / str(self.lives))
        self.files.heal()
        self.let_go()
        self.rig.spool.close()
        self.begin_life(self.rig.next_sequence)

    @precondition(lambda self: self.orphan is None and bool(orphans(self.data_dir)))
    @rule(which=st.integers(0, 9))
    def adopt_one(self, which: int) -> None:
        paths = orphans(self.data_dir)
        self.orphan = adopt(paths[which % len(paths)], Surroundings(files=UnsyncedFiles()))
        assert self.orphan is not None
        self.reading = self.orphan.records()

    @precondition(lambda self: self.orphan is not None)
    @rule(target=handed_out, at_most=st.integers(1, 5))
    def take_from_the_orphan(self, at_most: int) -> list[int]:
        taken = []
        for _, recovered in zip(range(at_most), self.reading, strict=False):
            self.check_payload(recovered.first_sequence, recovered.payload)
            taken.append(recovered.first_sequence)
        return taken

    @precondition(lambda self: self.orphan is not None)
    @rule(firsts=handed_out)
    def settle_in_the_orphan(self, firsts: list[int]) -> None:
        assert self.orphan
        for first in firsts:
            span = range(first, first + self.promises[first].count)
            before = self.orphan.documents
            self.orphan.settle(span)
            if self.orphan.documents < before:
                self.promises[first].settled.update(span)

    @precondition(lambda self: self.orphan is not None)
    @rule()
    def advance_the_orphan(self) -> None:
        assert self.orphan
        self.orphan.advance()

    @precondition(lambda self: self.orphan is not None)
    @rule()
    def leave_the_orphan(self) -> None:
        assert self.orphan
        if self.orphan.is_drained:
            self.orphan.remove()
        self.let_go()

    @precondition(lambda self: self.orphan is None and bool(orphans(self.data_dir)))
    @rule(which=st.integers(0, 99), at=st.integers(0, 2000), bit=st.integers(0, 7))
    def rot(self, which: int, at: int, bit: int) -> None:
        paths = orphans(self.data_dir)
        path = paths[which % len(paths)]
        stored = list(dump(path))
        if not stored:
            return
        hit = stored[which % len(stored)]
        content = bytearray((path / hit.file).read_bytes())
        content[hit.offset + at % (36 + len(hit.payload))] ^= 1 << bit
        (path / hit.file).write_bytes(content)
        self.promises[hit.first_sequence].is_kept = False

    @invariant()
    def counts_agree(self) -> None:
        stored = [first for first, record in self.records.items() if record.file >= 0]
        unsettled = [
            self.promises[first].count - len(self.promises[first].settled) for first in stored
        ]
        deferred = sum(self.promises[first].count for first in self.deferred)
        assert self.rig.spool.documents == sum(unsettled) + deferred
        assert self.files.synced_after_failure == []

    @invariant()
    def a_look_inside_agrees(self) -> None:
        """At every moment `check` finds at least what is promised."""
        seen = {found.first_sequence for found in dump(self.rig.path)} if self.has_files() else {-1}
        for first in [*self.records, *self.deferred]:
            assert first in seen or not self.promises[first].must_come
        if self.has_files():
            assert not check(self.rig.path).is_damaged

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        self.files.heal()
        self.let_go()
        self.rig.spool.close()
        self.hear()
        come: set[int] = set()
        for path in orphans(self.data_dir):
            come |= self.drain(path)
        shutil.rmtree(self.root)
        missing = {first for first, promise in self.promises.items() if promise.must_come} - come
        assert not missing

    def has_files(self) -> bool:
        return self.rig.path.exists()

    def hear(self) -> None:
        """Acks that have left since the last time."""
        for tokens, error in self.rig.groups[self.heard :]:
            for first in tokens:
                self.promises[first].is_kept = error is None
        self.heard = len(self.rig.groups)

    def settle_span(self, sequences: range | list[int]) -> None:
        self.rig.spool.settle(sequences)
        for first in self.records:
            promise = self.promises[first]
            promise.settled |= set(sequences) & set(range(first, first + promise.count))

    def check_payload(self, first: int, payload: bytes) -> None:
        assert first in self.promises, "came from nowhere"
        assert payload == self.promises[first].payload

    def let_go(self) -> None:
        if self.orphan:
            self.orphan.close()
            self.orphan = None
            self.reading = iter([])

    def drain(self, path: Path) -> set[int]:
        orphan = adopt(path, Surroundings(files=UnsyncedFiles()))
        assert orphan
        come = set()
        for recovered in orphan.records():
            self.check_payload(recovered.first_sequence, recovered.payload)
            come.add(recovered.first_sequence)
        orphan.settle(range(self.rig.next_sequence))
        assert orphan.remove()
        return come


SpoolMachine.TestCase.settings = settings(
    max_examples=150 * SCALE,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_the_spool_keeps_what_it_promised = SpoolMachine.TestCase

"""What a worker tells the supervisor, in one small mmap that outlives it.

    u64 heartbeat (CLOCK_MONOTONIC, ns) · u64 state · u64 generation
    ledger, twice: the terms of the accounting law; `generation & 1` names the valid copy
    one u64 for each slot of the metric catalogue
    the names of label values that come from data (64 bytes each)

The supervisor reads it without asking the worker, so a stuck worker can be seen and a dead one's
figures are kept. The ledger is written as a whole into the copy that is not valid and then
switched to by one aligned store: a kill at any moment leaves a ledger that adds up.
"""

import mmap
import struct
import time
from bisect import bisect_left
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Literal

from ingest.metrics import CATALOGUE, Metric

State = Literal["starting", "listening", "draining"]
STATES: tuple[State, ...] = ("starting", "listening", "draining")


@dataclass(slots=True)
class Ledger:
    """Documents by where they are now or how they ended. See the accounting law in the README."""

    received: int = 0
    recovered: int = 0
    rejected: int = 0
    indexed: int = 0
    duplicate: int = 0
    dead_letter: int = 0
    lost_acked: int = 0
    lost_unacked: int = 0
    in_memory_acked: int = 0
    in_memory_unacked: int = 0
    spooled: int = 0

    @property
    def in_memory(self) -> int:
        return self.in_memory_acked + self.in_memory_unacked

    @property
    def lost(self) -> int:
        return self.lost_acked + self.lost_unacked

    @property
    def is_balanced(self) -> bool:
        """The accounting law."""
        came = self.received + self.recovered
        ended = self.rejected + self.indexed + self.duplicate + self.dead_letter + self.lost
        return came == ended + self.in_memory + self.spooled

    def add(self, other: "Ledger") -> None:
        for field in fields(self):
            name = field.name
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def close(self) -> None:
        """What a dead worker still held in memory is lost."""
        self.lost_acked += self.in_memory_acked
        self.lost_unacked += self.in_memory_unacked
        self.in_memory_acked = self.in_memory_unacked = 0


_terms = attrgetter(*(field.name for field in fields(Ledger)))
_LEDGER = struct.Struct(f"<{len(fields(Ledger))}Q")
_HEARTBEAT, _STATE, _GENERATION, _LEDGERS = 0, 1, 2, 3  # in u64
_METRICS = _LEDGERS + 2 * len(fields(Ledger))
_NAME_BYTES = 64
_OTHER = "other"


def _layout() -> tuple[dict[str, int], int, dict[str, int], int]:
    """First slot of each metric, the end of the slots, first name of each dynamic metric, size."""
    slot, name_index = _METRICS, 0
    slots: dict[str, int] = {}
    names: dict[str, int] = {}
    for metric in CATALOGUE:
        slots[metric.name] = slot
        slot += metric.slot_count
        if metric.dynamic:
            names[metric.name] = name_index
            name_index += metric.dynamic
    return slots, slot, names, slot * 8 + name_index * _NAME_BYTES


_SLOTS, _SLOTS_END, _NAMES, SIZE_BYTES = _layout()


class Scoreboard:
    """The writing side in a worker; the supervisor uses the reading side of the same memory."""

    def __init__(self, file_descriptor: int):
        self._mmap = mmap.mmap(file_descriptor, SIZE_BYTES)
        self._words = memoryview(self._mmap).cast("B")[: _SLOTS_END * 8].cast("Q")
        self._known: dict[tuple[str, str], int] = {}
        self.ledger = Ledger()

    # writing

    def beat(self) -> None:
        self._words[_HEARTBEAT] = time.monotonic_ns()

    def enter(self, state: State) -> None:
        self._words[_STATE] = STATES.index(state)

    def publish(self) -> None:
        """Make the ledger as it is now the one that readers see."""
        generation = self._words[_GENERATION] + 1
        offset = _LEDGERS * 8 + (generation & 1) * _LEDGER.size
        _LEDGER.pack_into(self._mmap, offset, *_terms(self.ledger))
        self._words[_GENERATION] = generation

    def add(self, metric: Metric, amount: int = 1, value: str = "") -> None:
        self._words[self._slot(metric, value)] += amount

    def set(self, metric: Metric, amount: int, value: str = "") -> None:
        self._words[self._slot(metric, value)] = amount

    def observe(self, metric: Metric, seconds: float) -> None:
        first = _SLOTS[metric.name]
        self._words[first + bisect_left(metric.buckets, seconds)] += 1
        self._words[first + len(metric.buckets) + 1] += int(seconds * 1e9)

    def _slot(self, metric: Metric, value: str) -> int:
        if not metric.label:
            return _SLOTS[metric.name]
        slot = self._known.get((metric.name, value))
        return slot if slot is not None else self._learn(metric, value)

    def _learn(self, metric: Metric, value: str) -> int:
        """The slot of a label value; beyond the bound all further values share the last one."""
        if not metric.dynamic:
            slot = _SLOTS[metric.name] + metric.values.index(value)
            self._known[metric.name, value] = slot
            return slot
        name = _label_name(value)
        if (metric.name, name) in self._known:
            return self._known[metric.name, name]
        last = metric.dynamic - 1
        index = sum(1 for known, _ in self._known if known == metric.name)
        if name == _OTHER or index >= last:
            index, name = last, _OTHER
        else:
            self._known[metric.name, name] = _SLOTS[metric.name] + index
        start = _SLOTS_END * 8 + (_NAMES[metric.name] + index) * _NAME_BYTES
        self._mmap[start : start + _NAME_BYTES] = name.encode().ljust(_NAME_BYTES, b"\0")
        return _SLOTS[metric.name] + index

    # reading

    @property
    def heartbeat_age_s(self) -> float:
        return (time.monotonic_ns() - self._words[_HEARTBEAT]) / 1e9

    @property
    def state(self) -> State:
        return STATES[self._words[_STATE]]

    def read_ledger(self) -> Ledger:
        while True:
            generation = self._words[_GENERATION]
            offset = _LEDGERS * 8 + (generation & 1) * _LEDGER.size
            ledger = Ledger(*_LEDGER.unpack_from(self._mmap, offset))
            if self._words[_GENERATION] == generation:  # else it may be in the middle of a write
                return ledger

    def read(self, metric: Metric) -> dict[str, list[int]]:
        """The slots of a metric by label value ("" without a label)."""
        first = _SLOTS[metric.name]
        if metric.kind == "histogram":
            return {"": list(self._words[first : first + metric.slot_count])}
        if not metric.label:
            return {"": [self._words[first]]}
        values = self._names(metric) if metric.dynamic else metric.values
        return {value: [self._words[first + i]] for i, value in enumerate(values) if value}

    def _names(self, metric: Metric) -> list[str]:
        start = _SLOTS_END * 8 + _NAMES[metric.name] * _NAME_BYTES
        names = self._mmap[start : start + metric.dynamic * _NAME_BYTES]
        each = (names[i : i + _NAME_BYTES] for i in range(0, len(names), _NAME_BYTES))
        return [name.rstrip(b"\0").decode(errors="replace") for name in each]

    def close(self) -> None:
        self._words.release()
        self._mmap.close()


def _label_name(value: str) -> str:
    """A label value as it fits into its place; values that look the same there are the same."""
    return value.encode()[:_NAME_BYTES].decode(errors="ignore").rstrip("\0") or _OTHER

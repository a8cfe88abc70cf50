"""Knows what was sent and what was promised, and judges what arrived.

Every document carries its `key`; equal keys are the same document, whatever `_id` it was given.
The verdicts are the invariants of durability, by their numbers:

    I1  what was acked (durable, indexed) is in Elasticsearch or among the dead letters
    I2  nothing arrived that was not sent, and all of it byte for byte
    I3  what was not acked may arrive, by the same rule
    I4  no document can be seen twice
    I5  the accounting law holds, whenever it is looked at
    I6  memory and descriptors stay below their bounds
    I7  the admin port answers at once
    I8  soon after the fault everything is drained, and new documents are taken
    I9  the service always starts

I1 to I4 are judged here, I5 to I7 by `watch`, I8 and I9 by `rig`.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import orjson

Fate = Literal["accepted", "refused", "unknown"]
NAMED_MAX = 5


@dataclass(slots=True, frozen=True)
class Post:
    """One request and its answer; `promised` are the keys that must not be lost any more."""

    ack: str
    fate: Fate
    status: int | None
    keys: Sequence[str]
    promised: frozenset[str]


@dataclass(slots=True)
class Oracle:
    """The log of all producers of a run; any thread may write to it."""

    sent: dict[str, bytes] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note_sent(self, documents: Mapping[str, bytes]) -> None:
        """Before the first byte leaves: whatever happens from now on, they may arrive."""
        with self._lock:
            self.sent.update(documents)

    def note_answer(self, post: Post) -> None:
        with self._lock:
            self.posts.append(post)

    @property
    def promised(self) -> set[str]:
        """The keys of all documents that must arrive."""
        with self._lock:
            posts = list(self.posts)
        return set[str]().union(*(post.promised for post in posts))

    def count(self, fate: Fate) -> int:
        """Posts that ended so."""
        with self._lock:
            return sum(post.fate == fate for post in self.posts)

    def count_status(self, status: int) -> int:
        with self._lock:
            return sum(post.status == status for post in self.posts)

    def missing(self, arrived: Iterable[bytes], letters: Iterable[bytes]) -> set[str]:
        """What was promised and is nowhere: empty when I1 holds."""
        found = {key for each in (arrived, letters) for line in each if (key := find_key(line))}
        return self.promised - found

    def violations(self, arrived: Sequence[bytes], letters: Sequence[bytes]) -> list[str]:
        """What is wrong, a line each, by invariant; empty when all is well."""
        found = []
        if missing := self.missing(arrived, letters):
            found.append(f"I1: {len(missing)} acked documents are lost: {_some(missing)}")
        strange = [line for line in (*arrived, *letters) if not self._is_as_sent(line)]
        if strange:
            found.append(f"I2: {len(strange)} documents arrived that were not sent: {strange[:2]}")
        copies = Counter(find_key(line) or "" for line in arrived)
        if twice := [key for key, count in copies.items() if count > 1]:
            found.append(f"I4: {len(twice)} documents can be seen twice: {_some(twice)}")
        both = copies.keys() & {find_key(line) or "" for line in letters}
        if both:
            found.append(f"I4: {len(both)} are dead letters and indexed: {_some(both)}")
        return found

    def _is_as_sent(self, line: bytes) -> bool:
        return self.sent.get(find_key(line) or "") == line


def find_key(line: bytes) -> str | None:
    """None where the line is not one of our documents."""
    try:
        key = orjson.loads(line)["key"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return key if isinstance(key, str) else None


def _some(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys)[:NAMED_MAX])

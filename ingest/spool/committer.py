"""Group commit: one thread writes what is queued, syncs once, and resolves every waiting ack.

    queue ──▶ [r r r r] ──writev──▶ file ──fdatasync──▶ on_committed([t t t t], None)
              what arrives during one fsync is the next group

When a write fails, what was written of the group is cut off again and its acks fail. When a sync
fails, its descriptor is never synced again: the acks fail, the file ends at its last proven byte
and the group, which is still in memory, is written again into a fresh file, without an ack. After
`failures_max` failed groups nothing is acked until a fresh file could be made durable.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import structlog

from ingest.spool.errors import SpoolError, SpoolFull, SpoolUnavailable
from ingest.spool.file import SpoolFile
from ingest.spool.group import Entry, fitting, size_of, write_group
from ingest.spool.quota import Quota
from ingest.spool.settings import SpoolLimits, Surroundings
from ingest.spool.store import Store
from ingest.spool.unsettled import Unsettled

T = TypeVar("T")
OnCommitted = Callable[[list[T], SpoolError | None], object]
OnSync = Callable[[float], object]

log = structlog.get_logger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Committer(Generic[T]):
    """Runs `turn` until closed. Only `put`, `stop` and the plain attributes are for other threads.

    `on_committed` is called once a group with its tokens, so that the event loop wakes once an
    fsync; `on_sync` gets the seconds that each took.
    """

    def __init__(
        self,
        store: Store,
        unsettled: Unsettled,
        quota: Quota,
        limits: SpoolLimits,
        surroundings: Surroundings,
        on_committed: OnCommitted[T],
        on_sync: OnSync,
    ) -> None:
        self._store = store
        self._unsettled = unsettled
        self._quota = quota
        self._limits = limits
        self._clock_s = surroundings.clock_s
        self._hit = surroundings.hit
        self._on_committed = on_committed
        self._on_sync = on_sync
        self._queue: SimpleQueue[Entry[T] | None] = SimpleQueue()
        self._unanswered: list[Entry[T]] = []
        self._failures = limits.failures_max  # until the directory is open
        self._is_broken = False
        self._measured_s = self._clock_s()
        self._settled_bytes = 0
        self.is_stopped = False
        self.last_error = "not opened yet"

    @property
    def is_healthy(self) -> bool:
        """Whether a durable ack is possible now."""
        return self._failures < self._limits.failures_max and not self._is_broken

    def open(self) -> None:
        """Tries to make the directory; when that fails, every tick tries again.

        Raises NetworkFileSystem, which no waiting cures.
        """
        self._probe()
        self._measure(0.0)

    def put(self, entry: Entry[T]) -> None:
        self._queue.put(entry)

    def stop(self) -> None:
        """The thread ends after what was put before this."""
        self._queue.put(None)

    def run(self) -> None:
        """The thread: turns until stopped, then gives the directory up."""
        try:
            while not self.is_stopped:
                due_s = self._measured_s + self._limits.cursor_interval_s
                self.turn(0.0 if self._store.is_freeing else max(due_s - self._clock_s(), 0.0))
            self.close()
        except Exception as error:
            log.exception("spool committer stopped: no durable ack until this process restarts")
            self._break_off(error)

    def turn(self, wait_s: float) -> None:
        """Commits what is queued, waiting up to `wait_s` for it, then does what is due."""
        self._unanswered = self._take(wait_s)
        queued_bytes = size_of(self._unanswered)
        while self._unanswered:
            self._commit_next()
        elapsed_s = self._clock_s() - self._measured_s
        is_due = elapsed_s >= self._limits.cursor_interval_s
        if is_due:
            self._look_after_files()
        self._store.free(queued_bytes)
        if is_due:
            self._measure(elapsed_s)

    def _look_after_files(self) -> None:
        """About once a second: cursor and removal of files; a probe while unhealthy."""
        if not self.is_healthy:
            self._probe()
        if self._quota.is_shedding:
            self._store.seal_if_drained()
        try:
            self._store.advance()
        except OSError as error:
            log.warning("spool cursor or removal failed, tried again", error=str(error))

    def close(self) -> None:
        """Removes the directory when it is drained, else leaves it for an adopter."""
        try:
            self._store.close()
        except OSError as error:
            log.warning("spool directory is left for adoption", error=str(error))

    def _take(self, wait_s: float) -> list[Entry[T]]:
        try:
            taken = [self._queue.get(wait_s > 0, wait_s)]
        except Empty:
            return []
        taken += [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        self.is_stopped = self.is_stopped or None in taken
        return [entry for entry in taken if entry is not None]

    def _commit_next(self) -> None:
        """Commits as many of the waiting entries as go into one file."""
        waiting = self._unanswered
        if not self.is_healthy:
            self._give_up(waiting, SpoolUnavailable(f"no durable ack now: {self.last_error}"))
            return
        try:
            file = self._store.file_for(waiting[0].record)
        except OSError as error:
            self._give_up(waiting, self._judge(error))
            return
        self._commit(file, fitting(file, waiting))

    def _commit(self, file: SpoolFile, group: list[Entry[T]]) -> None:
        try:
            write_group(file, group)
        except OSError as error:
            self._store.take_back()
            self._give_up(group, self._judge(error))
            return
        try:
            self._sync(file)
        except OSError as error:
            self._store.seal()
            self._answer(group, self._judge(error))
            self._write_again(group)
            return
        self._note_stored(file, group)
        self._failures = 0
        self._answer(group, None)

    def _write_again(self, group: list[Entry[T]]) -> None:
        """Keeps documents that go on without an ack, as far as the disk still lets us."""
        try:
            file = self._store.begin_file(group[0].record.first_sequence)
            write_group(file, group)
            self._sync(file)
        except OSError as error:
            self._store.seal()
            self.last_error = str(error)
            self._forget(group)
            return
        self._note_stored(file, group)

    def _sync(self, file: SpoolFile) -> None:
        started_s = self._clock_s()
        file.sync()
        self._on_sync(self._clock_s() - started_s)

    def _note_stored(self, file: SpoolFile, group: list[Entry[T]]) -> None:
        for entry in group:
            entry.record.file = file.number
        self._store.note_growth()
        self._quota.unqueue(size_of(group), self._store.disk_bytes)

    def _give_up(self, group: list[Entry[T]], reason: SpoolError) -> None:
        self._forget(group)
        self._answer(group, reason)

    def _forget(self, group: list[Entry[T]]) -> None:
        for entry in group:
            self._unsettled.forget(entry.record)
        self._quota.unqueue(size_of(group), self._store.disk_bytes)

    def _answer(self, group: list[Entry[T]], reason: SpoolError | None) -> None:
        self._unanswered = self._unanswered[len(group) :]
        self._hit("before_ack")
        self._on_committed([entry.token for entry in group], reason)
        self._hit("after_ack")

    def _judge(self, error: OSError) -> SpoolError:
        self.last_error = str(error)
        if error.errno in _FULL:
            self._quota.disk_is_full()
            return SpoolFull(f"the spool's disk is full: {error}")
        self._failures += 1
        log.warning("spool write failed", failures=self._failures, error=str(error))
        return SpoolUnavailable(f"the spool could not write: {error}")

    def _probe(self) -> None:
        try:
            self._store.open()
            self._store.begin_file(self._unsettled.next_sequence)
        except OSError as error:
            self.last_error = str(error)
            return
        self._failures = 0

    def _measure(self, elapsed_s: float) -> None:
        settled = self._unsettled.settled_bytes_total
        newly_settled, self._settled_bytes = settled - self._settled_bytes, settled
        self._measured_s = self._clock_s()
        others = self._store.others_bytes() if self._limits.shared_quota_bytes is not None else 0
        self._quota.measure(
            self._store.disk_bytes, self._store.free_bytes(), newly_settled, elapsed_s, others
        )

    def _break_off(self, error: Exception) -> None:
        self._is_broken = True
        self.last_error = f"the committer has stopped: {error}"
        with suppress(Exception):  # nobody may be left to hear it
            self._give_up(self._unanswered + self._take(0.0), SpoolUnavailable(self.last_error))

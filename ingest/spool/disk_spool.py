"""The durable queue of one worker, on a local disk."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar
from uuid import UUID, uuid4

from ingest.spool.committer import Committer, OnCommitted, OnSync
from ingest.spool.errors import SpoolUnavailable
from ingest.spool.files import Buffer
from ingest.spool.format import PAYLOAD_BYTES_MAX
from ingest.spool.group import Entry
from ingest.spool.quota import Quota
from ingest.spool.record import Record
from ingest.spool.recovered import Recovered
from ingest.spool.settings import SpoolLimits, Surroundings
from ingest.spool.store import Store
from ingest.spool.unsettled import Unsettled

T = TypeVar("T")


def _ignore(seconds: float) -> None:
    """Nobody measures the syncs."""


class DiskSpool(Generic[T]):
    """Implements `ingest.spool.Spool`. Make it after the process has started: a forked child
    would keep the lock.

    `on_committed(tokens, error)` is called in the committer's thread, once a group: typically
    `partial(loop.call_soon_threadsafe, resolve_acks)`. Tokens whose error is set were not proven
    to be on disk: answer 503; their documents may be delivered all the same.
    """

    def __init__(
        self,
        data_dir: Path,
        on_committed: OnCommitted[T],
        *,
        limits: SpoolLimits | None = None,
        surroundings: Surroundings | None = None,
        directory_id: UUID | None = None,
        on_sync: OnSync = _ignore,
    ) -> None:
        limits = limits or SpoolLimits()
        surroundings = surroundings or Surroundings()
        self.id = directory_id or uuid4()
        self._clock_s = surroundings.clock_s
        self._unsettled = Unsettled()
        self._quota = Quota(limits.quota_bytes, limits.free_bytes_min, limits.shared_quota_bytes)
        self._store = Store(data_dir, self.id, limits, surroundings, self._unsettled)
        self._committer: Committer[T] = Committer(
            self._store, self._unsettled, self._quota, limits, surroundings, on_committed, on_sync
        )
        self._thread: threading.Thread | None = None
        self._append_lock = threading.Lock()  # file order is sequence order
        self._is_closed = False

    def open(self) -> None:
        """Makes the directory. An unwritable disk leaves the spool unhealthy, to be tried again.

        Raises NetworkFileSystem.
        """
        self._committer.open()

    def start(self) -> None:
        """Opens, and starts the committer's thread."""
        self.open()
        self._thread = threading.Thread(target=self._committer.run, name="spool", daemon=True)
        self._thread.start()

    def append(
        self, payload: Buffer | Sequence[Buffer], count: int, first_sequence: int, token: T
    ) -> Record:
        """Queues a chunk of `count` documents; its `token` comes back when it is durable.

        The bytes are written as they are, without a copy: don't change them until then. Sequences
        must rise from one append to the next and may leave gaps. Raises SpoolUnavailable when no
        durable ack is possible now, ValueError for a chunk that can't be a record.
        """
        pieces = (payload,) if isinstance(payload, bytes | bytearray | memoryview) else payload
        length = sum(map(len, pieces))
        if not 0 < length <= PAYLOAD_BYTES_MAX or count < 1:
            raise ValueError(
                f"a record has 1 to {PAYLOAD_BYTES_MAX} bytes and a document: {length}"
            )
        record = Record(first_sequence, count, length, self._clock_s())
        with self._append_lock:
            if not self.is_healthy:
                reason = "closed" if self._is_closed else self._committer.last_error
                raise SpoolUnavailable(f"no durable ack now: {reason}")
            self._unsettled.add(record)
            self._quota.queue(record.size)
            self._committer.put(Entry(record, pieces, token))
        return record

    def defer(self, record: Record) -> None:
        """The documents of a durable record wait on disk; the handle is not to be used again.

        However many wait, they take no memory worth speaking of.
        """
        self._unsettled.defer(record)

    @property
    def has_deferred(self) -> bool:
        """Whether `bring_back` has something to do."""
        return self._unsettled.oldest_stretch is not None

    def bring_back(self) -> Recovered | None:
        """The oldest deferred record, proven by its checksum; blocks for the disk.

        Raises RecordDamaged: the documents that it names can not be read; settle them as lost.
        Raises OSError, which leaves everything as it was.
        """
        return self._store.bring_back()

    def settle(self, sequences: Sequence[int]) -> None:
        """These documents have their outcome. Unknown and repeated sequences are ignored."""
        self._unsettled.settle(sequences)

    def reserve(self, size: int) -> bool:
        """Sets room aside before a body is accepted; False: shed with `retry_after_s`."""
        return self._quota.reserve(size)

    def release(self, size: int) -> None:
        """Gives a reservation back, once its bytes are appended or will not come."""
        self._quota.release(size)

    def retry_after_s(self) -> int:
        """For the `Retry-After` header, from the measured drain rate."""
        return self._quota.retry_after_s()

    @property
    def is_healthy(self) -> bool:
        """Whether durable acks are possible now."""
        return self._committer.is_healthy and not self._is_closed

    @property
    def last_error(self) -> str:
        """Why it is, or was last, unhealthy."""
        return self._committer.last_error

    @property
    def documents(self) -> int:
        """Appended and not settled."""
        return self._unsettled.documents

    @property
    def unsettled_bytes(self) -> int:
        """Bytes of the records that are not wholly settled."""
        return self._unsettled.bytes

    @property
    def used_bytes(self) -> int:
        """What counts against the quota: files on disk, queued and reserved bytes."""
        return self._quota.used_bytes

    @property
    def total_bytes(self) -> int:
        """The same, with all other directories under the root, whoever owns them: what counts
        against `shared_quota_bytes`, measured about once a second; without that, `used_bytes`.
        """
        return self._quota.total_bytes

    @property
    def oldest_age_s(self) -> float:
        """How long the oldest record waits to be settled."""
        return self._unsettled.oldest_age_s(self._clock_s())

    def turn(self, wait_s: float = 0.0) -> None:
        """One turn of the committer, where `open` was called instead of `start`."""
        self._committer.turn(wait_s)

    def close(self, timeout_s: float | None = None) -> bool:
        """Commits what is queued and ends. A drained directory is removed, else it stays.

        Returns False when the disk did not let the thread end in time.
        """
        with self._append_lock:
            self._is_closed = True
            self._committer.stop()
        if self._thread is None:
            self._committer.turn(0.0)
            self._committer.close()
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

"""The two budgets that bound a worker's memory, and the line of senders that wait for them.

Buffers are made once, at start, and reused last-in first-out so that the hot ones stay in the
CPU's caches; a page that was never filled costs no memory. Pending bytes are encoded documents
that are not delivered yet. A sender that finds no buffer or no room waits in order, with reading
paused, and is refused (429) after `buffer_wait_s`; the connection keeps that time itself.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol


class Buffer:
    """One reused piece of memory. Owned by the pool or by exactly one body."""

    __slots__ = ("memory", "view")

    def __init__(self, size_bytes: int):
        self.memory = bytearray(size_bytes)
        self.view = memoryview(self.memory)


class Waiter(Protocol):
    """A sender in line."""

    def on_room(self) -> bool:
        """Try to go on; False when there still is not enough, which ends this round."""


class Backpressure:
    """Buffers and pending bytes of one worker."""

    def __init__(
        self,
        buffers: int,
        buffer_bytes: int,
        max_pending_bytes: int,
        call_soon: Callable[[Callable[[], None]], object],
    ):
        self.buffer_bytes = buffer_bytes
        self.max_pending_bytes = max_pending_bytes
        self.pending_bytes = 0
        self._free = [Buffer(buffer_bytes) for _ in range(buffers)]
        self._reading: OrderedDict[Waiter, None] = OrderedDict()  # wait for room, hold a buffer
        self._waiting: OrderedDict[Waiter, None] = OrderedDict()  # wait for both
        self._call_soon = call_soon
        self._is_waking = False

    @property
    def buffers_free(self) -> int:
        return len(self._free)

    @property
    def has_room(self) -> bool:
        return self.pending_bytes < self.max_pending_bytes

    @property
    def is_contended(self) -> bool:
        """Others wait already: who comes now stands behind them."""
        return bool(self._reading or self._waiting)

    def try_take_buffer(self) -> Buffer | None:
        return self._free.pop() if self._free else None

    def give_back(self, buffer: Buffer) -> None:
        self._free.append(buffer)
        self._wake_soon()

    def hold(self, size_bytes: int) -> None:
        self.pending_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        self.pending_bytes -= size_bytes
        self._wake_soon()

    def wait(self, waiter: Waiter, *, holds_buffer: bool = False) -> None:
        """Get in line. Who holds a buffer goes first: the others may wait for that very one."""
        line = self._reading if holds_buffer else self._waiting
        line[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        self._reading.pop(waiter, None)
        self._waiting.pop(waiter, None)

    def _wake_soon(self) -> None:
        """In a turn of its own: who gives room up is in the middle of something else."""
        if self.is_contended and not self._is_waking:
            self._is_waking = True
            self._call_soon(self._wake)

    def _wake(self) -> None:
        self._is_waking = False
        while self.is_contended and self.has_room:
            line = self._reading or self._waiting
            waiter, _ = line.popitem(last=False)
            if not waiter.on_room():
                line[waiter] = None
                line.move_to_end(waiter, last=False)
                return

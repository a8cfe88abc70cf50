"""Two budgets, and the line of those who wait for them."""

from collections.abc import Callable

import pytest

from ingest.backpressure import Backpressure, Buffer

Wake = Callable[[], None]


class Rig(Backpressure):
    """Wakes when a test turns the loop."""

    def __init__(self, buffers: int = 1, max_pending_bytes: int = 10):
        self.scheduled: list[Wake] = []
        super().__init__(buffers, 8, max_pending_bytes, self.scheduled.append)

    def turn(self) -> None:
        scheduled = self.scheduled[:]
        self.scheduled.clear()
        for wake in scheduled:
            wake()


class Sender:
    """Takes a buffer when it may, and `holds` bytes; then it is done or waits for more room."""

    def __init__(self, room: Rig, order: list[str], name: str, holds: int = 0):
        self.buffer: Buffer | None = None
        self._room = room
        self._order = order
        self._name = name
        self._holds = holds

    def on_room(self) -> bool:
        if self.buffer is None:
            self.buffer = self._room.try_take_buffer()
        if self.buffer is None:
            return False
        self._order.append(self._name)
        self._room.hold(self._holds)
        return True


def test_buffers_are_bounded_and_the_last_one_is_used_first() -> None:
    room = Rig(buffers=2)
    first, second = room.try_take_buffer(), room.try_take_buffer()
    assert first is not None
    assert second is not None
    assert room.try_take_buffer() is None
    assert room.buffers_free == 0
    room.give_back(second)
    room.give_back(first)
    assert room.try_take_buffer() is first
    assert len(first.memory) == len(first.view) == 8


@pytest.mark.parametrize(("held", "has_room"), [(0, True), (9, True), (10, False), (11, False)])
def test_there_is_room_below_the_limit(held: int, has_room: bool) -> None:
    room = Rig()
    room.hold(held)
    assert room.has_room is has_room
    room.release(held)
    assert room.has_room


def test_senders_go_on_in_the_order_of_their_arrival() -> None:
    room, order = Rig(buffers=3), list[str]()
    room.hold(10)
    for name in "abc":
        room.wait(Sender(room, order, name))
    assert room.is_contended
    room.release(1)
    assert order == []  # in a turn of its own
    room.turn()
    assert order == ["a", "b", "c"]
    assert not room.is_contended


def test_who_comes_later_does_not_overtake_one_without_a_buffer() -> None:
    room, order = Rig(buffers=1), list[str]()
    taken = room.try_take_buffer()
    assert taken is not None
    senders = [Sender(room, order, name) for name in "abc"]
    for sender in senders:
        room.wait(sender)
    room.release(0)
    room.turn()
    assert order == []
    for number in range(3):
        room.give_back(taken)
        room.turn()
        assert order == list("abc")[: number + 1]
    assert room.scheduled == []


def test_waking_stops_where_the_room_ends() -> None:
    room, order = Rig(buffers=3), list[str]()
    room.hold(12)
    for name in "abc":
        room.wait(Sender(room, order, name, holds=6))
    room.release(10)
    room.turn()
    assert order == ["a", "b"]
    assert room.pending_bytes == 14


def test_who_holds_a_buffer_goes_before_those_who_wait_for_one() -> None:
    """Else the one in front would wait for the buffer of one behind, and both would time out."""
    room, order = Rig(buffers=1), list[str]()
    reading, newcomer = Sender(room, order, "reading"), Sender(room, order, "newcomer")
    reading.buffer = room.try_take_buffer()
    room.wait(newcomer)
    room.hold(10)
    room.wait(reading, holds_buffer=True)
    room.release(10)
    room.turn()
    assert order == ["reading"]
    assert reading.buffer is not None
    room.give_back(reading.buffer)
    room.turn()
    assert order == ["reading", "newcomer"]


def test_who_has_left_is_not_called() -> None:
    room, order = Rig(buffers=2), list[str]()
    waiting = [Sender(room, order, name) for name in "ab"]
    room.wait(waiting[0])
    room.wait(waiting[1], holds_buffer=True)
    for each in waiting:
        room.leave(each)
        room.leave(each)
    assert not room.is_contended
    room.release(0)
    room.turn()
    assert order == []


def test_a_woken_sender_may_wait_again_without_a_loop() -> None:
    room = Rig(max_pending_bytes=10)
    calls = 0

    class Greedy:
        def on_room(self) -> bool:
            nonlocal calls
            calls += 1
            room.hold(10)
            room.wait(self)
            return True

    room.hold(10)
    room.wait(Greedy())
    room.release(10)
    room.turn()
    assert calls == 1
    assert room.is_contended


def test_many_releases_wake_once() -> None:
    room = Rig()
    room.hold(30)
    room.wait(Sender(room, [], "a"))
    for _ in range(3):
        room.release(1)
    assert len(room.scheduled) == 1


def test_nobody_waiting_wakes_nobody() -> None:
    room = Rig()
    room.hold(1)
    room.release(1)
    assert room.scheduled == []

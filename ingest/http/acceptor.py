"""Takes new connections off the listening socket: all that wait, in each turn of the loop.

uvloop's own server takes one a turn. A turn under load is 15 ms of parsing, so a worker would take
some 65 connections a second, and producers would wait for seconds in the backlog.
"""

import asyncio
import errno
import socket
from collections.abc import Callable

import structlog

TURN_MAX = 64  # so that a storm of connections does not starve those that are open
PAUSE_S = 0.5  # when there is no descriptor left
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
log = structlog.get_logger(__name__)


class Acceptor:
    """Accepts on one socket and gives each connection a protocol of its own."""

    def __init__(
        self,
        listen: socket.socket,
        make_protocol: Callable[[], asyncio.BaseProtocol],
        loop: asyncio.AbstractEventLoop,
    ):
        self._listen = listen
        self._make_protocol = make_protocol
        self._loop = loop
        self._opening: set[asyncio.Task[None]] = set()
        self._resumption: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._listen.setblocking(False)
        self._resumption = None
        self._loop.add_reader(self._listen, self._accept)

    def stop(self) -> None:
        """Take no more; what is open stays."""
        self._loop.remove_reader(self._listen)
        if self._resumption is not None:
            self._resumption.cancel()

    def _accept(self) -> None:
        for _ in range(TURN_MAX):
            try:
                connection, _address = self._listen.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                return  # nobody waits, or who did has gone
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError:
            connection.close()

    def _pause(self, error: OSError) -> None:
        log.warning("no connection can be accepted for a moment", reason=error.strerror)
        self.stop()
        self._resumption = self._loop.call_later(PAUSE_S, self.start)

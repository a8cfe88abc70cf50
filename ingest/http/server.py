"""uvicorn's server with our acceptor and protocol, and without signal handlers."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import Generator
from typing import Any

import uvicorn

from ingest.http import app
from ingest.http.acceptor import Acceptor
from ingest.http.listener import Listener
from ingest.http.protocol import IngestProtocol


class IngestServer(uvicorn.Server):
    """Serves one worker's ingest port; when it stops, the worker decides."""

    def __init__(self, listener: Listener):
        settings = listener.settings
        super().__init__(
            uvicorn.Config(
                app.build(),
                http=functools.partial(IngestProtocol, listener),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=int(settings.keep_alive_s),
                timeout_graceful_shutdown=max(1, int(settings.drain_s / 2)),
            )
        )
        self._acceptors: list[Acceptor] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.servers = []
        protocol: Any = self.config.http_protocol_class
        make_protocol = functools.partial(
            protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=loop,
        )
        self._acceptors = [Acceptor(each, make_protocol, loop) for each in sockets or []]
        for acceptor in self._acceptors:
            acceptor.start()
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            acceptor.stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

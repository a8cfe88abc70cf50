"""A door in front of an Elasticsearch that can be shut, or turned into a black hole.

    with Gate(es.url) as gate:
        gate.shut()      # refuses connections and resets those that are there
        gate.swallow()   # takes connections and bytes, and answers nothing
        gate.open()      # back on the same port

It counts what comes: a program that waits for its return must not hammer at it.
"""

import asyncio
import contextlib
from typing import Literal, Self
from urllib.parse import urlsplit

from tests.fakes.http_server import reset
from tests.fakes.loop_thread import LoopThread

READ_BYTES = 1 << 16


class Gate:
    """One port before one target; open at first."""

    def __init__(self, target: str):
        address = urlsplit(target)
        self._target = (address.hostname, address.port)
        self._loop = LoopThread()
        self._server: asyncio.Server | None = None
        self._mode: Literal["open", "shut", "swallow"] = "open"
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self.requests = 0  # heads that came, while open or swallowing
        self.held = 0  # connections that are there now
        self.most_held = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        self._enter("open")

    def shut(self) -> None:
        self._enter("shut")

    def swallow(self) -> None:
        self._enter("swallow")

    def forget_counts(self) -> None:
        """Counts anew, from what is there now."""
        self.requests, self.most_held = 0, self.held

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *failure: object) -> None:
        self.shut()
        self._loop.close()

    def _enter(self, mode: Literal["open", "shut", "swallow"]) -> None:
        self._mode = mode
        self._loop.run(self._turn())

    async def _turn(self) -> None:
        """What was connected before goes; nothing of it is answered any more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        while self._writers:
            for writer in list(self._writers):
                reset(writer)
            await asyncio.sleep(0.01)
        if self._mode != "shut":
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        try:
            await self._serve_until_it_ends(reader, writer)
        except OSError:
            pass  # either end has gone
        finally:
            self.held -= 1
            self._writers.discard(writer)
            writer.close()

    async def _serve_until_it_ends(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._mode == "swallow":
            await self._pass_on(reader, None)
            return
        answers, behind = await asyncio.open_connection(*self._target)
        back = asyncio.create_task(self._answer(answers, writer))
        try:
            await self._pass_on(reader, behind)
        finally:
            behind.close()
            back.cancel()

    async def _pass_on(
        self, reader: asyncio.StreamReader, behind: asyncio.StreamWriter | None
    ) -> None:
        while content := await reader.read(READ_BYTES):
            self.requests += content.count(b" HTTP/1.1\r\n")
            if behind is not None:
                behind.write(content)
                await behind.drain()

    async def _answer(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while content := await answers.read(READ_BYTES):
                writer.write(content)
                await writer.drain()
        writer.close()

"""An HTTP server in a thread of its own that does with each request what a `Step` says.

It knows connections and their ways to fail, and nothing of Elasticsearch.
"""

import asyncio
import dataclasses
from collections.abc import Callable

from tests.fakes import http_server as http
from tests.fakes.http_server import Answer, Body, Head
from tests.fakes.loop_thread import LoopThread
from tests.fakes.script import Step

HEAD_BYTES_MAX = 1 << 20


class ScriptedServer:
    """`choose_step` is asked when a head came, `answer` when a body did.

    `note_unread` hears of requests whose body was not read, with the answer's status or None.
    What these raise ends the connection and is raised again by `close`.
    """

    def __init__(
        self,
        choose_step: Callable[[Head], Step],
        answer: Callable[[Head, Body, Step], Answer],
        note_unread: Callable[[Head, int | None], None],
        max_content_bytes: int,
    ) -> None:
        self._choose_step = choose_step
        self._answer = answer
        self._note_unread = note_unread
        self._max_content_bytes = max_content_bytes
        self.port = 0
        self._loop = LoopThread()
        self._running = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._failures: list[Exception] = []

    def start(self) -> None:
        """Listens, again on the same port after `stop`."""
        self._loop.run(self._listen())

    def stop(self) -> None:
        """Refuses connections from now on and resets those that are open."""
        self._loop.run(self._stop_listening())

    def close(self) -> None:
        """Stops for good and ends the thread."""
        self.stop()
        self._loop.close()
        if self._failures:
            raise self._failures[0]

    def pause(self) -> None:
        """A black hole: connections are taken, nothing is read and nothing answered."""
        self._loop.call_soon(self._running.clear)

    def resume(self) -> None:
        """Goes on with what came in while paused."""
        self._loop.call_soon(self._running.set)

    async def _listen(self) -> None:
        self._running.set()
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=HEAD_BYTES_MAX, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is None:
            return
        self._server.close()
        self._server = None
        connections = dict(self._connections)
        for connection, writer in connections.items():
            http.reset(writer)
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None
        self._connections[connection] = writer
        try:
            while await self._serve_one(reader, writer):
                pass
        except (http.Unreadable, asyncio.IncompleteReadError, ConnectionError):
            pass  # a real node closes without a word too
        except asyncio.CancelledError:
            pass  # `stop` waits for the end of this task; nobody else cancels it
        except Exception as error:  # noqa: BLE001 - a mistake in a test's script, raised by `close`
            self._failures.append(error)
        finally:
            del self._connections[connection]
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serves one request; False where the connection ends with it."""
        await self._running.wait()
        head = await http.read_head(reader)
        if head is None:
            return False
        await self._running.wait()
        step = self._choose_step(head)
        await asyncio.sleep(step.delay_reading_s)
        if step.reset in ("before_body", "during_body"):
            if step.reset == "during_body":
                await reader.readexactly(max(1, head.length // 2))
            self._note_unread(head, None)
            return http.reset(writer)
        try:
            body = await http.read_body(head, reader, writer, self._max_content_bytes)
        except http.TooLarge as error:
            return self._answer_too_large(head, writer, connection_ends=error.connection_ends)
        answer = self._answer(head, body, step)
        await asyncio.sleep(step.delay_answer_s)
        await self._running.wait()
        return await _send(answer, head, step, writer)

    def _answer_too_large(
        self, head: Head, writer: asyncio.StreamWriter, *, connection_ends: bool
    ) -> bool:
        self._note_unread(head, 413)
        headers = {"connection": "close"} if connection_ends else {}
        writer.write(http.encode_answer(Answer(413, b"", headers)))
        return not connection_ends


async def _send(answer: Answer, head: Head, step: Step, writer: asyncio.StreamWriter) -> bool:
    """Writes the answer, or what the step leaves of it; False where the connection ends."""
    if step.reset == "after_body":
        return http.reset(writer)
    if step.is_cut:
        answer = dataclasses.replace(answer, body=answer.body[: len(answer.body) // 2])
    compress = step.gzip or "gzip" in head.headers.get("accept-encoding", "")
    encoded = http.encode_answer(answer, head.method, compress=compress)
    middle = encoded.index(b"\r\n\r\n") + 4 + len(answer.body) // 2
    if step.reset == "during_answer":
        writer.write(encoded[:middle])
        await writer.drain()
        return http.reset(writer)
    if step.delay_middle_s:
        writer.write(encoded[:middle])
        await asyncio.sleep(step.delay_middle_s)
        encoded = encoded[middle:]
    writer.write(encoded)
    await writer.drain()
    return answer.headers.get("connection") != "close"

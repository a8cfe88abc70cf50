"""An event loop in a thread of its own, for servers that tests talk to from theirs."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

CALL_TIMEOUT_S = 10


class LoopThread:
    """It starts with the first call."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Until it is done; raises what it raises, or TimeoutError."""
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT_S)

    def call_soon(self, callback: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(callback)

    def close(self) -> None:
        """For good."""
        self.call_soon(self._loop.stop)
        self._thread.join()
        self._loop.close()

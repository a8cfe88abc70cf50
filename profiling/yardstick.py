"""How fast this core is right now: CPU of one `orjson.loads` of the bench's documents.

Runs beside what is measured, on the same core, for a fiftieth of its time. A shared machine may
take twice the CPU time for the same work from one second to the next; both are hit alike, so their
ratio is what can be compared between runs and machines.

    python -m profiling.yardstick        until SIGTERM; then prints µs of CPU a document
"""

import signal
import time
from types import FrameType

import orjson

from loadtest.corpus import documents

WARM_UP = 100  # documents, so that what the other has left in the caches is not timed
TIMED = 300
PAUSE_S = 0.03


def main() -> None:
    signal.signal(signal.SIGTERM, _end)
    lines = documents("logs", 3, WARM_UP + TIMED)
    used_ns = count = 0
    try:
        while True:
            _parse(lines[:WARM_UP])
            started = time.thread_time_ns()
            _parse(lines[WARM_UP:])
            used_ns += time.thread_time_ns() - started
            count += TIMED
            time.sleep(PAUSE_S)
    except KeyboardInterrupt:
        print(used_ns / 1000 / count if count else 0.0)


def _parse(lines: list[bytes]) -> None:
    loads = orjson.loads
    for line in lines:
        loads(line)


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()

"""Where a load test's documents end: a null sink, a scripted Elasticsearch, or a real one."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from urllib.request import urlopen

from profiling.launch import started, wait_for_line

_READY = re.compile(r"(http://\S+)\n")
_FAULTY_ROUNDS = 10_000  # more than any run has


@dataclass(frozen=True, slots=True)
class Sink:
    """`arrived` counts the documents that are there now; None where nobody counts them for us."""

    url: str
    arrived: Callable[[], int] | None = None


@contextmanager
def running_sink(elasticsearch: str, log: Path) -> Iterator[Sink]:
    """`null`, `scripted`, or the URL of an Elasticsearch. What was started ends with the block."""
    if elasticsearch == "null":
        yield from _null_sink(log)
    elif elasticsearch == "scripted":
        yield from _scripted_sink()
    else:
        yield Sink(elasticsearch)


def _null_sink(log: Path) -> Iterator[Sink]:
    with started(
        [sys.executable, "-m", "loadtest.sink", "--listen", "127.0.0.1:0"], log, None
    ) as pid:
        url = wait_for_line(pid, log, _READY)[1]
        yield Sink(url, lambda: _counted(url))


def _counted(url: str) -> int:
    with urlopen(f"{url}/_counts", timeout=10) as answer:
        return int(json.load(answer)["documents"])


def _scripted_sink() -> Iterator[Sink]:
    """Healthy for some bulk requests, then each way of failing that must cost no document."""
    from tests import fakes  # only here: a load test of an installed service has no tests

    failing = (
        fakes.refuse(429, times=2),
        fakes.answer_items({0: fakes.rejected(), 7: fakes.breaker_tripped()}),
        fakes.reset("after_body"),
        fakes.refuse(503),
        fakes.slow(0.5),
    )
    rounds = ((fakes.Step(times=5), each) for each in failing)
    with fakes.ScriptedElasticsearch() as es:
        es.script(*chain.from_iterable(repeat([*chain.from_iterable(rounds)], _FAULTY_ROUNDS)))
        yield Sink(es.url, lambda: len(es.documents()))

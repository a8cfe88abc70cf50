"""Producers against a service that runs: locust's options, the chosen shape, the end of a run.

    ingest serve &
    python -m locust -f loadtest/locustfile.py --headless --host http://127.0.0.1:9280 --users 20

At the end the producers' counts are compared with the service's, the thresholds are checked, and
the process exits with 1 where something is wrong. `--processes N` works: every process counts, the
first one judges. `python -m loadtest.run` starts the service too and keeps all results.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import gevent
from locust import LoadTestShape, events, log
from locust.runners import MasterRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from loadtest import accounting, memory, result, thresholds
from loadtest.accounting import Sent
from loadtest.result import Figures, Result
from loadtest.shapes import SECONDS, SHAPES, users_at
from loadtest.users import (
    ArrayProducer,
    BulkProducer,
    DisconnectProducer,
    GzipProducer,
    Load,
    MalformedProducer,
    Options,
    OversizedProducer,
    ReplayProducer,
    SlowProducer,
    SmallProducer,
)

# locust finds its users among the names of this file
PRODUCERS = (
    BulkProducer,
    SmallProducer,
    GzipProducer,
    ArrayProducer,
    OversizedProducer,
    MalformedProducer,
    SlowProducer,
    DisconnectProducer,
    ReplayProducer,
)
SETTLE_S = 30.0  # what was accepted may need longer to be indexed, but not without any progress
LAST_REPORTS_S = 6.0  # for the last posts of other processes, which report every 3 s
USERS = 20


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_options(parser: Any) -> None:
    add, default = parser.add_argument, Options()
    add("--shape", choices=SHAPES, default="ramp", env_var="INGEST_LOAD_SHAPE")
    add("--admin", default="http://127.0.0.1:9281", help="of the service, for /status")
    add("--seed", type=int, default=default.seed)
    add("--documents-per-body", type=int, default=default.documents_per_body, metavar="N")
    add("--pace", type=float, default=default.pace, help="factor of all pauses; 0: none")
    add("--ack", choices=("", "memory", "durable", "indexed"), default=default.ack)
    add("--har", default=default.har, metavar="FILE", help="also replay this recording")
    add("--thresholds", default=str(thresholds.DEFAULT_FILE), metavar="FILE")
    add("--result", default="", metavar="FILE", help="write what was measured, as JSON")


class ChosenShape(LoadTestShape):  # type: ignore[misc]
    """The shape that `--shape` names, of `--users` producers, over `--run-time`."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        options = self.runner.environment.parsed_options
        users = options.num_users or USERS
        seconds = options.run_time or SECONDS[options.shape]
        wanted = users_at(options.shape, self.get_run_time(), users, seconds)
        if wanted is not None:
            return wanted, wanted
        # locust hears half a second longer of its processes, which is too short for the last posts
        is_reporting = self.get_run_time() < seconds + LAST_REPORTS_S
        return (0, users) if isinstance(self.runner, MasterRunner) and is_reporting else None


@events.init.add_listener  # type: ignore[untyped-decorator]
def begin(environment: Any, **_: Any) -> None:
    """Fails here, before any load, where a file or the service is missing."""
    chosen = environment.parsed_options
    environment.load = Load(
        Options(chosen.seed, chosen.documents_per_body, chosen.pace, chosen.ack, chosen.har)
    )
    if not chosen.har and ReplayProducer in environment.user_classes:
        environment.user_classes.remove(ReplayProducer)
    for producer in environment.user_classes:
        environment.load.posts(producer.kind)
    if isinstance(environment.runner, WorkerRunner):
        environment.events.report_to_master.add_listener(partial(_report, environment.load))
        return
    environment.events.worker_report.add_listener(partial(_take_report, environment.load))
    environment.limits = thresholds.load(Path(chosen.thresholds)).limits(chosen.shape)
    environment.documents_before = _status(chosen.admin)["documents"]
    environment.memory = []
    gevent.spawn(_watch_memory, environment.memory, chosen.admin)


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def finish(environment: Any, **_: Any) -> None:
    """Compare, check, tell, and set the exit code."""
    if isinstance(environment.runner, WorkerRunner):
        return
    environment.process_exit_code = 1  # until all is found good: the service may be gone
    gevent.sleep(CSV_STATS_INTERVAL_SEC + 0.1)  # or the CSV files would lack the last posts
    options = environment.parsed_options
    measured = _measured(environment)
    if options.result:
        result.write(measured, Path(options.result))
        memory.write(environment.memory, Path(options.result).with_name("memory.csv"))
    checks = thresholds.check(measured, environment.limits)
    faults = [f"✗ {fault}" for fault in measured.faults] or ["✓ every document is accounted for"]
    text = "\n".join([thresholds.table(checks), *faults])
    environment.events.quit.add_listener(lambda **_: print(text, flush=True))  # below locust's own
    if not measured.faults and all(each.is_kept for each in checks):
        environment.process_exit_code = 0


def _report(load: Load, *, client_id: str, data: dict[str, Any]) -> None:
    data["sent"] = {kind: asdict(sent) for kind, sent in load.take_sent().items()}
    data["has_failed"] = log.unhandled_greenlet_exception


def _take_report(load: Load, *, client_id: str, data: Mapping[str, Any]) -> None:
    for kind, sent in data["sent"].items():
        load.sent[kind].add(Sent(**sent))
    load.has_failed |= data["has_failed"]


def _measured(environment: Any) -> Result:
    options, stats, all_sent = environment.parsed_options, environment.stats, Sent()
    for sent in environment.load.sent.values():
        all_sent.add(sent)
    end_s = stats.total.last_request_timestamp or stats.total.start_time
    before, after = environment.documents_before, _settled_documents(options.admin)
    faults = accounting.faults(all_sent, before, after)
    if (
        environment.load.has_failed
        or log.unhandled_greenlet_exception
        or environment.runner.exceptions
    ):
        faults.append("the load itself failed: see the exceptions above")
    return Result(
        shape=options.shape,
        users=options.num_users or USERS,
        seconds=round(end_s - stats.total.start_time, 3),
        kinds={kind: _figures(kind, sent, stats) for kind, sent in environment.load.sent.items()},
        service=accounting.growth(before, after),
        faults=faults,
        memory=memory.judged(environment.memory),
    )


def _figures(kind: str, sent: Sent, stats: Any) -> Figures:
    rows = [row for (name, _), row in stats.entries.items() if name == kind]
    answered = next((row for row in rows if row.method == "POST"), None)
    p50, p95, p99 = (
        answered.get_response_time_percentile(share) if answered else 0.0
        for share in (0.5, 0.95, 0.99)
    )
    return Figures(
        posts=sent.posts,
        failures=sum(row.num_failures for row in rows),
        shed=sent.shed,
        pending=sent.pending,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        documents=sent.documents,
        received=sent.received,
        accepted=sent.accepted,
        rejected=sent.rejected,
        trimmed=sent.trimmed,
        unanswered=sent.unanswered,
    )


def _settled_documents(admin: str) -> dict[str, int]:
    """The service's counts once every document has its outcome, or when no other comes to one."""
    counts: dict[str, int] = {}
    while True:
        before, counts = counts, _status(admin)["documents"]
        if counts != before:
            deadline = time.monotonic() + SETTLE_S
        if accounting.is_settled(counts) or time.monotonic() > deadline:
            return counts
        gevent.sleep(0.1)


def _watch_memory(samples: list[memory.Sample], admin: str) -> None:
    """Until the process ends; a service that is gone shows elsewhere."""
    started_s = time.monotonic()
    while True:
        with suppress(OSError):
            workers = _status(admin)["workers"]
            largest = max((worker.get("resident_bytes", 0) for worker in workers), default=0)
            samples.append(memory.Sample(time.monotonic() - started_s, largest))
        gevent.sleep(memory.SAMPLE_S)


def _status(admin: str) -> dict[str, Any]:
    """Raises OSError where nobody answers there."""
    with urlopen(f"{admin}/status", timeout=10) as answer:
        status: dict[str, Any] = json.load(answer)
    return status

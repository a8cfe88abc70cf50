"""One load test, whole: starts the service, loads it, keeps everything about it in one folder.

    python -m loadtest.run                                  30 s against the null sink
    python -m loadtest.run --shape spike --users 40
    ELASTICSEARCH_URL=http://127.0.0.1:9200 python -m loadtest.run --shape soak --seconds 600
    python -m loadtest.run --elasticsearch scripted -- --flush-interval-s 0.05

What follows `--` are options of `ingest serve`. *null* counts documents and keeps none; *scripted*
fails now and then (and keeps every document in memory: for short runs). The folder holds
report.html, load_*.csv, memory.csv, result.json, configuration.json and the logs. The exit code is
1 where a threshold or the accounting fails, and 2 where the test could not run.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from loadtest import har, result, thresholds
from loadtest.shapes import SECONDS, SHAPES
from loadtest.sinks import Sink, running_sink
from profiling import cpu
from profiling.launch import BenchError, started, wait_for_line

HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "loadtest" / "results"
STOP_TIMEOUT_S = 15  # for the posts that are on their way at the end
PARALLEL = max(1, (os.cpu_count() or 1) // 2)  # half of the cores serve, half load

_READY = re.compile(r"ingest: documents (http://\S+)/ingest\s+admin (http://\S+)")


def main() -> int:
    arguments = _arguments()
    started_at = datetime.now(UTC)
    commit = _commit()
    folder = arguments.results / f"{started_at:%Y%m%dT%H%M%SZ}-{commit}"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _check_files(arguments)
        folder.mkdir(parents=True)
        with running_sink(arguments.elasticsearch, folder / "sink.log") as sink:
            with _service(arguments, sink.url, folder) as (url, admin):
                _keep_configuration(arguments, started_at, commit, folder)
                code = _run_locust(_locust_command(arguments, url, admin, folder))
            fault = _fault_of(sink, folder)
    except (BenchError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if fault:
        print(f"✗ {fault}")
    print(f"results: {folder}")
    return code or int(bool(fault))


def _check_files(arguments: argparse.Namespace) -> None:
    """Raises OSError or ValueError, before anything is started."""
    if arguments.har:
        har.posts(arguments.har)
    if arguments.thresholds:
        thresholds.load(arguments.thresholds)


@contextmanager
def _service(
    arguments: argparse.Namespace, elasticsearch: str, folder: Path
) -> Iterator[tuple[str, str]]:
    """URLs of the ingest and the admin port of a service that ends with the block."""
    log = folder / "service.log"
    options = f"--elasticsearch {elasticsearch} --listen {HOST}:0 --admin {HOST}:0"
    options += f" --workers {arguments.workers}"
    command = [sys.executable, "-m", "ingest", "serve", *options.split()]
    with tempfile.TemporaryDirectory(prefix="load-", dir=arguments.data_parent) as data_dir:
        command += ["--data-dir", data_dir, *arguments.service_options]
        with started(command, log, None) as pid:
            url, admin = wait_for_line(pid, log, _READY).groups()
            yield url, admin


def _locust_command(arguments: argparse.Namespace, url: str, admin: str, folder: Path) -> list[str]:
    options = {
        "--host": url,
        "--admin": admin,
        "--shape": arguments.shape,
        "--users": arguments.users,
        "--run-time": arguments.seconds or SECONDS[arguments.shape],
        "--seed": arguments.seed,
        "--pace": arguments.pace,
        "--documents-per-body": arguments.documents_per_body,
        "--ack": arguments.ack,
        "--har": arguments.har,
        "--thresholds": arguments.thresholds,
        "--result": folder / result.FILE,
        "--html": folder / "report.html",
        "--csv": folder / "load",
        "--stop-timeout": STOP_TIMEOUT_S,
        "--processes": arguments.processes if arguments.processes > 1 else None,
    }
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    locust = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless"]
    return [*locust, "--only-summary", "--loglevel=WARNING", *given]


def _run_locust(command: Sequence[str]) -> int:
    """Its exit code. Ctrl-C ends the load early, with all its reports."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
    before = {
        number: signal.signal(number, lambda *_: process.send_signal(signal.SIGINT))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fault_of(sink: Sink, folder: Path) -> str:
    """Has everything arrived that the service says has? Asked when the service has ended."""
    if sink.arrived is None or not (folder / result.FILE).exists():
        return ""
    counts, arrived = result.read(folder).service, sink.arrived()
    if arrived == counts["indexed"] + counts["duplicate"]:
        return ""
    return f"{counts['indexed']} indexed, {counts['duplicate']} duplicate, but {arrived} arrived"


def _keep_configuration(
    arguments: argparse.Namespace, started_at: datetime, commit: str, folder: Path
) -> None:
    """All that a figure depends on, without credentials."""
    load = {name: value for name, value in vars(arguments).items() if name in _LOAD}
    url = urlsplit(arguments.elasticsearch)
    configuration = {
        "started": started_at.isoformat(timespec="seconds"),
        "commit": commit,
        "machine": cpu.machine(),
        "versions": {name: version(name) for name in ("ingest", "locust", "uvloop", "orjson")},
        "elasticsearch": url.hostname or arguments.elasticsearch,
        "workers": arguments.workers,
        "service_options": arguments.service_options,
        "settings": sorted(name for name in os.environ if name.startswith("INGEST_")),
        **load,
    }
    text = json.dumps(configuration, indent=1, default=str)
    (folder / "configuration.json").write_text(text + "\n")


def _commit() -> str:
    """The short hash, with `-changed` where files differ from it; `unknown` outside of a clone."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("-changed" if changed.stdout else "")


_LOAD = (
    "shape",
    "users",
    "seconds",
    "processes",
    "pace",
    "seed",
    "documents_per_body",
    "ack",
    "har",
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--elasticsearch", default=os.environ.get("ELASTICSEARCH_URL") or "null", metavar="WHERE")
    add("--shape", choices=SHAPES, default="ramp")
    add("--users", type=int, default=20, help="the load that the service is meant to carry")
    add("--seconds", type=int, help=f"by default {SECONDS}")
    add("--processes", type=int, default=1, help="of locust")
    add("--workers", type=int, default=PARALLEL, help="of the service")
    add("--pace", type=float, help="factor of all pauses; 0: as fast as answers come")
    add("--seed", type=int)
    add("--documents-per-body", type=int, metavar="N")
    add("--ack", choices=("memory", "durable", "indexed"), help="by default what is configured")
    add("--har", type=Path, metavar="FILE", help="also replay this recording")
    add("--thresholds", type=Path, metavar="FILE")
    add("--results", type=Path, default=RESULTS, metavar="DIR")
    add("--data-parent", type=Path, metavar="DIR", help="on the disk that `durable` is to use")
    add("service_options", nargs="*", metavar="-- OPTIONS", help="of `ingest serve`")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

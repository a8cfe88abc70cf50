"""The whole service under load: CPU a document, documents/s, latency, memory, and nothing missing.

The service, with one worker, has a core for itself; the null sink and the generator share the
others. CPU is user + system of the worker from before the first post until the last document
reached the sink, so batching and delivery are in it; the supervisor is counted apart. Documents/s
depends on what else the machine does, and on a shared one so does CPU time: compare `× parse`, CPU
a document in units of one `orjson.loads` of it on the same core meanwhile (`yardstick.py`).

    python -m profiling.bench --seconds 5 --repeat 3 --sizes 1000,100,1 --ack memory,durable
    python -m profiling.bench --peer 'other=path/to/other --port {port} --to {elasticsearch}'

A peer is another service in the same run: started with `{elasticsearch}`, `{host}` and `{port}`
filled in, loaded at `POST /ingest`, each 2xx taken for all documents accepted; the CPU of its
whole process family counts. Settings of ours: `--config`, or `INGEST_*` in the environment.
"""

import argparse
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args
from urllib.request import urlopen

from ingest.model import Ack
from profiling import cpu
from profiling.launch import BenchError, end_of, started, wait_for_line, wait_until
from profiling.rows import Row, table

HOST = "127.0.0.1"
DELIVERY_S = 30.0  # for what was accepted to reach the sink
WARM_UP_S = 0.5

_READY = re.compile(r"ingest: documents (http://\S+)/ingest\s+admin (http://\S+)")
_SINK = [sys.executable, "-m", "loadtest.sink", "--listen", f"{HOST}:0"]
_SINK_READY = re.compile(r"(http://\S+)\n")


@dataclass(slots=True)
class Service:
    """One that runs: where to post and whose CPU counts; `admin` and `supervisor` only of ours."""

    name: str
    url: str
    pids: list[int]
    cores: set[int] | None  # that it runs on alone; None: on any
    admin: str = ""
    supervisor: list[int] = field(default_factory=list)


def main() -> int:
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        rows = _bench(arguments)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(rows))
    faults = [
        f"{row.name}, {row.size} a body {row.ack}: {fault}" for row in rows for fault in row.faults
    ]
    print("\n".join(faults) or "accounting: each accepted document reached the sink exactly once")
    if arguments.json:
        measured = {"machine": cpu.machine(), "rows": [*map(asdict, rows)]}
        arguments.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 1 if faults else 0


def _interrupt(number: int, frame: object) -> None:
    """Once: what was started is ended on the way out, which a second Ctrl-C must not stop."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _bench(arguments: argparse.Namespace) -> list[Row]:
    ours, others = cpu.split_cores()
    where = f"service on cores {ours}, load on {others}" if ours else "unpinned: no second core"
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.data_parent) as name,
        cpu.pinned(others),
    ):
        folder = Path(name)
        print(
            f"{cpu.machine()}; {where}; ack={','.join(arguments.ack)}, data in {folder.parent}",
            flush=True,
        )
        with started(_SINK, folder / "sink.log", others) as pid:
            sink = wait_for_line(pid, folder / "sink.log", _SINK_READY)[1]
            for number in range(arguments.repeat):
                with _ingest(arguments, sink, folder / f"ingest-{number}", ours) as service:
                    rows += _loads(service, sink, arguments)
                for peer in arguments.peer:
                    with _peer(peer, sink, folder / f"peer-{number}.log", ours) as service:
                        rows += _loads(service, sink, arguments)
    return rows


@contextmanager
def _ingest(
    arguments: argparse.Namespace, sink: str, folder: Path, cores: set[int] | None
) -> Iterator[Service]:
    options = f"--elasticsearch {sink} --listen {HOST}:0 --admin {HOST}:0 --workers 1"
    command = [sys.executable, "-m", "ingest", "serve", *options.split(), "--data-dir", str(folder)]
    command += ["--config", str(arguments.config)] if arguments.config else []
    log = folder.with_suffix(".log")
    with started(command, log, cores) as pid:
        url, admin = wait_for_line(pid, log, _READY).groups()
        workers = [worker["pid"] for worker in _get(f"{admin}/status")["workers"]]
        yield Service("ingest", url, workers, cores, admin, [pid])


@contextmanager
def _peer(peer: str, sink: str, log: Path, cores: set[int] | None) -> Iterator[Service]:
    name, _, command = peer.partition("=")
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    filled = command.format(elasticsearch=sink, host=HOST, port=port)
    with started(shlex.split(filled), log, cores) as pid:
        if not wait_until(lambda: _listens(port)):
            raise BenchError(f"{name} does not listen on {HOST}:{port}:\n{end_of(log)}")
        yield Service(name, f"http://{HOST}:{port}", cpu.family(pid), cores)


def _loads(service: Service, sink: str, arguments: argparse.Namespace) -> list[Row]:
    """One load of each size and, where we can choose, ack level; after one that warms up."""
    before = _arrived(sink)
    acks = arguments.ack if service.admin else [""]
    warm_up = _load(service, sink, arguments, arguments.sizes[0], acks[0], WARM_UP_S)
    rows = [
        _load(service, sink, arguments, size, ack, arguments.seconds)
        for size in arguments.sizes
        for ack in acks
    ]
    accepted = sum(row.documents for row in (warm_up, *rows))
    rows[-1].faults += warm_up.faults
    if _arrived(sink) - before != accepted:
        rows[-1].faults.append(f"{accepted} accepted in all, {_arrived(sink) - before} delivered")
    if service.admin and not wait_until(lambda: _settled(service) == accepted):
        rows[-1].faults.append(f"{accepted} accepted in all, /status says {_settled(service)}")
    return rows


def _load(
    service: Service,
    sink: str,
    arguments: argparse.Namespace,
    size: int,
    ack: str,
    seconds: float,
) -> Row:
    arrived, cpu_before = _arrived(sink), cpu.cpu_of(service.pids)
    supervisor_before = cpu.cpu_of(service.supervisor)
    with _profiled(service, arguments.profile, seconds), _yardstick(service.cores) as yardstick:
        summary = _generate(service, arguments, size, ack, seconds)
        documents = summary["documents"]
        wait_until(lambda: _arrived(sink) - arrived >= documents, DELIVERY_S)
    used, delivered = cpu.cpu_of(service.pids) - cpu_before, _arrived(sink) - arrived
    supervisor = cpu.cpu_of(service.supervisor) - supervisor_before
    faults = [f"{count} × {error}" for error, count in summary["errors"].items()]
    if delivered != documents or not documents:
        faults.append(f"{documents} accepted, {delivered} delivered")
    a_document = 1e6 / documents if documents else 0.0
    return Row(
        name=service.name,
        ack=ack,
        size=size,
        documents=documents,
        user_us=used.user_s * a_document,
        system_us=used.system_s * a_document,
        parse_us=yardstick[0],
        supervisor_us=(supervisor.user_s + supervisor.system_s) * a_document,
        documents_per_s=summary["documents_per_s"],
        posts_per_s=summary["posts_per_s"],
        p50_ms=summary["latency_ms"]["p50"],
        p99_ms=summary["latency_ms"]["p99"],
        peak_mb=sum(map(cpu.peak_bytes, service.pids)) / 1e6,
        shed=summary["shed"],
        faults=faults,
    )


@contextmanager
def _profiled(service: Service, output: Path | None, seconds: float) -> Iterator[None]:
    """A flame graph of the worker beside the load, of the last load that is long enough."""
    if output is None or not service.admin or seconds < 2:
        yield
        return
    url = f"{service.admin}/debug/profile?worker=0&seconds={int(seconds) - 1}"

    def record() -> None:
        with urlopen(url, timeout=seconds + 60) as answer:
            output.write_bytes(answer.read())

    recording = threading.Thread(target=record)
    recording.start()
    yield
    recording.join()


@contextmanager
def _yardstick(cores: set[int] | None) -> Iterator[list[float]]:
    """Filled on leaving: µs of CPU of one `orjson.loads` of a document on these cores meanwhile."""
    measured: list[float] = []
    command = [sys.executable, "-m", "profiling.yardstick"]
    with cpu.pinned(cores):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    try:
        yield measured
    finally:
        process.terminate()
        said, _ = process.communicate()
        measured.append(float(said or 0))


def _generate(
    service: Service, arguments: argparse.Namespace, size: int, ack: str, seconds: float
) -> dict[str, Any]:
    options = f"--documents-per-body {size} --seconds {seconds} --kind {arguments.kind}"
    options += f" --connections {arguments.connections} --posts-per-s {arguments.posts_per_s}"
    options += f" --ack {ack}" if ack else " --any-success"
    command = [sys.executable, "-m", "loadtest.generator", "--url", service.url, *options.split()]
    done = subprocess.run(command, stdout=subprocess.PIPE, start_new_session=True, check=False)
    if not done.stdout:
        raise BenchError(f"the generator ended with {done.returncode} and said nothing")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def _arrived(sink: str) -> int:
    """Documents in bulk requests that the sink has answered."""
    return int(_get(f"{sink}/_counts")["documents"])


def _settled(service: Service) -> int:
    """Documents that the service itself counts as delivered once; -1 where its law is broken."""
    counts = _get(f"{service.admin}/status")["documents"]
    ends = ("rejected", "indexed", "duplicate", "dead_letter", "lost", "in_memory", "spooled")
    if counts["received"] + counts["recovered"] != sum(counts[end] for end in ends):
        return -1
    return int(counts["indexed"])


def _get(url: str) -> dict[str, Any]:
    with urlopen(url, timeout=10) as answer:
        content: dict[str, Any] = json.load(answer)
    return content


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((HOST, port)) == 0


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",")]


def _acks(text: str) -> list[str]:
    acks = text.split(",")
    if not {*acks} <= {*get_args(Ack)}:
        raise argparse.ArgumentTypeError(f"choose of {', '.join(get_args(Ack))}")
    return acks


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m profiling.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seconds", type=float, default=5.0, help="each load")
    add("--repeat", type=int, default=3, metavar="N", help="fresh services, each with all sizes")
    add("--sizes", type=_sizes, default=[1000, 100, 1], metavar="N,N", help="documents a body")
    add("--ack", type=_acks, default=["memory"], metavar="ACK,ACK", help="each in turn")
    add("--connections", type=int, default=8, metavar="N")
    add("--posts-per-s", type=float, default=0.0, metavar="N", help="instead of all it can")
    add("--kind", default="logs", help="of loadtest.corpus")
    add("--config", type=Path, metavar="FILE", help="of our service")
    add("--data-parent", type=Path, metavar="DIR", help="on the disk that `durable` is to use")
    add("--json", type=Path, metavar="FILE", help="write each load")
    add("--profile", type=Path, metavar="FILE", help="a flame graph of our worker under load")
    add("--peer", action="append", default=[], metavar="NAME=COMMAND")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

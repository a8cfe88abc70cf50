"""The same load through this service and through another, in one run: how much CPU each takes.

The runs alternate on the same cores (`profiling.bench --peer`), so that a busy machine is busy for
both; medians. What counts is the ratio of CPU a document: the whole process family of both, the
supervisor of ours included.

    python -m profiling.compare                      with a script of Starlette and async_bulk
    python -m profiling.compare --peer 'other=path/to/other --port {port} --to {elasticsearch}'

CPU is counted until every document is in the sink, whatever the ack level. The peer answers then,
as our `indexed`; with one document a body and few connections that level measures how long a batch
waits for others (`flush_interval_s`), so ours answers as it does by default, `durable`.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtest.peers.starlette_async_bulk import HTTP_CLIENT
from profiling.rows import Row

OURS = "ingest"
PEER = (
    f"async_bulk ({HTTP_CLIENT.__name__})={shlex.quote(sys.executable)} "
    "-m loadtest.peers.starlette_async_bulk "
    "--elasticsearch {elasticsearch} --host {host} --port {port}"
)


def markdown(rows: Sequence[Row], machine: str) -> str:
    """A table of ours against each peer, by documents a body; medians of all loads."""
    ack = next(row.ack for row in rows if row.name == OURS)
    lines = [
        f"Machine: {machine}; one core for the service; ack={ack}.",
        "",
        "| documents a body | service | µs CPU/document | ratio | documents/s | p99 ms | peak MB |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for size in dict.fromkeys(row.size for row in rows):
        ours = _median(rows, OURS, size, "total_us")
        for name in dict.fromkeys(row.name for row in rows):
            cpu_us = _median(rows, name, size, "total_us")
            ratio = f"{cpu_us / ours:.1f} ×" if ours else "–"
            rate, p99, peak = (
                _median(rows, name, size, figure)
                for figure in ("documents_per_s", "p99_ms", "peak_mb")
            )
            lines.append(
                f"| {size:,} | {name} | {cpu_us:.1f} | {ratio} | {rate:,.0f} | {p99:.1f} "
                f"| {peak:.0f} |"
            )
    return "\n".join(lines)


def _median(rows: Sequence[Row], name: str, size: int, figure: str) -> float:
    return statistics.median(
        _figure(row, figure) for row in rows if (row.name, row.size) == (name, size)
    )


def _figure(row: Row, figure: str) -> float:
    if figure == "total_us":
        return row.cpu_us + row.supervisor_us
    return float(getattr(row, figure))


def main() -> int:
    arguments, options = _arguments()
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        file = Path(name) / "rows.json"
        code = subprocess.run(_bench_command(options, file), check=False).returncode
        if not file.exists():
            return code
        measured = json.loads(file.read_bytes())
    rows = [Row(**row) for row in measured["rows"]]
    table = markdown(rows, measured["machine"])
    print(f"\n{table}")
    if arguments.markdown:
        arguments.markdown.write_text(table + "\n")
    return code


def _bench_command(options: Sequence[str], file: Path) -> list[str]:
    has_peer = any(option.startswith("--peer") for option in options)
    peer = [] if has_peer else [f"--peer={PEER}"]
    command = [sys.executable, "-m", "profiling.bench"]
    command += ["--connections", "16", "--ack", "durable"]
    return [*command, *peer, *options, "--json", str(file)]


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m profiling.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="all other options are those of profiling.bench; one ack level at a time",
        allow_abbrev=False,
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    return parser.parse_known_args()


if __name__ == "__main__":
    sys.exit(main())

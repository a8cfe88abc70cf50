"""`ingest spool check|dump`: what is in the spools of a stopped or copied data directory.

Changes nothing. `check` exits with 1 where something is damaged; a torn tail is how a file of a
killed process ends, and no damage.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from ingest.config import Settings
from ingest.errors import ConfigError
from ingest.spool import DirectoryReport, SpoolError, check, dump


def add_options(parser: argparse.ArgumentParser, *, can_select: bool) -> None:
    if can_select:
        parser.add_argument(
            "--all", action="store_true", help="settled documents too (default: unsettled ones)"
        )
    else:
        parser.add_argument("--json", action="store_true", help="one JSON object a directory")


def run_check(settings: Settings, options: dict[str, Any]) -> int:
    """Shows each directory, its files and what is damaged in them."""
    is_damaged = False
    for path in _directories(settings.data_dir):
        try:
            report = check(path)
        except OSError as error:
            raise ConfigError(f"{path}: can not be read: {error.strerror}") from error
        is_damaged |= report.is_damaged
        if options["json"]:
            print(orjson.dumps(_as_json(report)).decode())
        else:
            _show(report)
    return 1 if is_damaged else 0


def run_dump(settings: Settings, options: dict[str, Any]) -> int:
    """Writes the documents as bulk NDJSON, ready to be sent, to standard output."""
    is_all_readable = True
    for path in _directories(settings.data_dir):
        try:
            for record in dump(path):
                if options["all"] or not record.is_settled:
                    sys.stdout.buffer.write(record.payload)
        except SpoolError as error:  # the other directories are read all the same
            print(f"ingest: {error}", file=sys.stderr)
            is_all_readable = False
    return 0 if is_all_readable else 1


def _directories(data_dir: Path) -> Iterator[Path]:
    spool = data_dir / "spool"
    if not spool.is_dir():
        raise ConfigError(f"{spool}: no such directory; give --data-dir")
    yield from sorted(
        path for path in spool.iterdir() if path.is_dir() and path.name != "quarantine"
    )


def _as_json(report: DirectoryReport) -> dict[str, Any]:
    return {
        **asdict(report),
        "path": str(report.path),
        "cursor": report.cursor._asdict(),
        "unsettled_documents": report.unsettled_documents,
        "is_damaged": report.is_damaged,
    }


def _show(report: DirectoryReport) -> None:
    owner = "in use" if report.is_owned else "nobody's"
    print(f"{report.path.name}  {owner}, {report.unsettled_documents} documents not settled")
    for file in report.files:
        print(
            f"  {file.name}  {file.size} bytes, {file.records} records, {file.documents} documents,"
            f" {file.unsettled_documents} not settled"
        )
        if not file.has_sound_header:
            print("    damaged: the file's header")
        for damage in file.damage:
            what = "torn tail" if damage.is_tail else "damaged"
            print(f"    {what}: {damage.length} bytes at {damage.offset}")
    for name in report.unknown_versions:
        print(f"  {name}  written by a newer version; left alone")
    for name in report.foreign:
        print(f"  {name}  not ours; left alone")

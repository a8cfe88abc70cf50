"""`ingest profile`: a profile of the running service, taken over its admin port."""

import argparse
import json
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from ingest.config import Settings
from ingest.errors import ConfigError
from ingest.supervision.profiler import FORMATS

_COST = (
    "A worker under full load takes 4 to 11 % fewer documents/s meanwhile, "
    "with --native 26 to 30 % fewer."
)
_ENDINGS = {"flamegraph": "svg", "speedscope": "json", "raw": "txt"}
_BAR = 40


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _COST
    parser.add_argument("--seconds", type=int, default=10, help="how long (default: 10)")
    parser.add_argument("--format", choices=FORMATS, default="flamegraph", help="of the file")
    parser.add_argument("--worker", default="all", help="`all` (default) or a number from 0")
    parser.add_argument("--native", action="store_true", help="C frames too")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: profile.svg, .json…")


def run(settings: Settings, options: dict[str, Any]) -> int:
    """Writes the profile to a file and says what it shows."""
    form = options["format"]
    output = options["output"] or Path(f"profile.{_ENDINGS[form]}")
    query = {key: options[key] for key in ("seconds", "format", "worker")}
    query["native"] = "1" if options["native"] else "0"
    request = urllib.request.Request(f"http://{settings.admin}/debug/profile?{urlencode(query)}")
    if settings.admin_token is not None:
        request.add_header("authorization", f"Bearer {settings.admin_token.get_secret_value()}")
    with _Progress(options["seconds"]):
        profile, title = _ask(request, options["seconds"] + 60)
    output.write_bytes(profile)
    print(f"{title}: {output}")
    return 0


def _ask(request: urllib.request.Request, limit_s: float) -> tuple[bytes, str]:
    try:
        with urllib.request.urlopen(request, timeout=limit_s) as answer:
            return answer.read(), answer.headers.get("ingest-profile", "")
    except urllib.error.HTTPError as error:
        raise ConfigError(f"no profile: {_reason(error)}") from error
    except OSError as error:
        raise ConfigError(f"{request.host}: no service answers there: {error}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    """What the service says, or the status of whatever else listens there."""
    try:
        return str(json.loads(error.read())["error"]["reason"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status} {error.reason}"


class _Progress:
    """A bar on standard error, where that is a terminal."""

    def __init__(self, seconds: int):
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def __enter__(self) -> None:
        if sys.stderr.isatty():
            self._thread.start()

    def __exit__(self, *failure: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
            sys.stderr.write("\r\x1b[K")

    def _draw(self) -> None:
        started = time.monotonic()
        while not self._done.wait(0.1):
            share = min((time.monotonic() - started) / self._seconds, 1.0)
            full = int(share * _BAR)
            sys.stderr.write(f"\r[{'=' * full}{' ' * (_BAR - full)}] {share:4.0%}")
            sys.stderr.flush()

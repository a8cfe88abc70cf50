"""The command line: `ingest` or `python -m ingest`. Exit codes: 0, 1 (failed), 2 (usage)."""

import argparse
import asyncio
import faulthandler
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ingest import check, config, logs
from ingest.errors import ConfigError
from ingest.supervisor import Supervisor

_NOT_ON_THE_COMMAND_LINE = {"elasticsearch", "routes"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    run = options.pop("run")
    try:
        return int(run(options))
    except ConfigError as error:
        print(f"ingest: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ingest", description="Takes documents over HTTP and writes them to Elasticsearch."
    )
    parser.add_argument("--version", action="version", version=f"ingest {version('ingest')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve", help="take documents", description="Take documents until SIGTERM or Ctrl-C."
    )
    serve.set_defaults(run=_serve)
    _add_settings(serve)
    checking = commands.add_parser(
        "check",
        help="check a configuration and show where documents would go",
        description="Check the configuration without starting; with documents on standard input, "
        "show for each which rule fires and where it would go.",
    )
    checking.set_defaults(run=_check)
    check.add_options(checking)
    _add_settings(checking)
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Every setting as an option; what is not given stays with environment, file or default."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--elasticsearch", metavar="URL", help="elasticsearch.hosts: URLs or `embedded`"
    )
    for key, field in config.Settings.model_fields.items():
        if key not in _NOT_ON_THE_COMMAND_LINE:
            parser.add_argument(
                f"--{key.replace('_', '-')}",
                dest=key,
                metavar=key.rpartition("_")[2].upper(),
                help=(field.description or "").replace("%", "%%"),
            )


def _settings(options: dict[str, Any]) -> config.Settings:
    keys = {*config.Settings.model_fields, "config"}
    given = {key: value for key, value in options.items() if key in keys and value is not None}
    return config.load(given, given.pop("config", None))


def _check(options: dict[str, Any]) -> int:
    return check.run(_settings(options), options, sys.stdin)


def _serve(options: dict[str, Any]) -> int:
    settings = _settings(options)
    faulthandler.enable()
    logs.configure(settings)
    return asyncio.run(_run(settings))


async def _run(settings: config.Settings) -> int:
    return await Supervisor(settings).run()


if __name__ == "__main__":
    sys.exit(main())

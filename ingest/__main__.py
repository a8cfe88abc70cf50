"""The command line: `ingest` or `python -m ingest`. Exit codes: 0, 1 (failed), 2 (usage)."""

import argparse
import asyncio
import faulthandler
import os
import sys
from collections.abc import Callable, Collection, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from ingest import config, logs
from ingest.commands import check, mappings, profile, spool
from ingest.errors import ConfigError
from ingest.supervision.supervisor import Supervisor

_CLUSTER_SETTINGS = ("elasticsearch", "mappings_dir")
_DISK_SETTINGS = ("data_dir",)
_ADMIN_SETTINGS = ("admin",)
_NOT_ON_THE_COMMAND_LINE = {"elasticsearch", "routes", "oversize", "admin_token"}


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
    _add(commands, "serve", _serve, "take documents until SIGTERM or Ctrl-C")
    checking = _add(
        commands,
        "check",
        lambda options: check.run(_settings(options), options, sys.stdin),
        "check a configuration; with documents on standard input, show where each would go",
    )
    check.add_options(checking)
    profiling = _add(
        commands,
        "profile",
        lambda options: profile.run(_settings(options), options),
        "record what the workers of a running service spend their time on",
        _ADMIN_SETTINGS,
    )
    profile.add_options(profiling)
    _add_mappings(_group(commands, "mappings", "the templates on disk and in the cluster"))
    _add_spool(_group(commands, "spool", "look into a stopped or copied data directory"))
    return parser


def _add_mappings(commands: Any) -> None:
    plan = _add(
        commands,
        "plan",
        lambda options: mappings.run_plan(_settings(options), options),
        "show what apply would change",
        _CLUSTER_SETTINGS,
    )
    mappings.add_options(plan, can_force=False)
    apply = _add(
        commands,
        "apply",
        lambda options: mappings.run_apply(_settings(options), options),
        "install the templates, never over newer or foreign ones",
        _CLUSTER_SETTINGS,
    )
    mappings.add_options(apply, can_force=True)


def _add_spool(commands: Any) -> None:
    checking = _add(
        commands,
        "check",
        lambda options: spool.run_check(_settings(options), options),
        "show what is in it and what is damaged; changes nothing",
        _DISK_SETTINGS,
    )
    spool.add_options(checking, can_select=False)
    dumping = _add(
        commands,
        "dump",
        lambda options: spool.run_dump(_settings(options), options),
        "write its documents as bulk NDJSON; changes nothing",
        _DISK_SETTINGS,
    )
    spool.add_options(dumping, can_select=True)


def _add(
    commands: Any,
    name: str,
    run: Callable[[dict[str, Any]], int],
    purpose: str,
    settings: Collection[str] = config.Settings.model_fields,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=purpose, description=purpose)
    parser.set_defaults(run=run)
    _add_settings(parser, settings)
    return parser


def _group(commands: Any, name: str, purpose: str) -> Any:
    parser = commands.add_parser(name, help=purpose, description=purpose)
    return parser.add_subparsers(required=True, metavar="COMMAND")


def _add_settings(parser: argparse.ArgumentParser, keys: Collection[str]) -> None:
    """These settings as options; what is not given stays with environment, file or default."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with settings")
    if "elasticsearch" in keys:
        parser.add_argument(
            "--elasticsearch", metavar="URL", help="elasticsearch.hosts: URLs or `embedded`"
        )
    for key, field in config.Settings.model_fields.items():
        if key in keys and key not in _NOT_ON_THE_COMMAND_LINE:
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


def _serve(options: dict[str, Any]) -> int:
    settings = _settings(options)
    faulthandler.enable()
    logs.configure(settings)
    if unknown := config.unknown_variables(os.environ):
        structlog.get_logger(__name__).warning("these variables are not settings", names=unknown)

    async def run() -> int:
        return await Supervisor(settings, lambda: _settings(options)).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())

"""`ingest mappings plan|apply`: the templates on disk against those in the cluster."""

import argparse
import asyncio
from typing import Any

import orjson
from elastic_transport import TransportError
from elasticsearch import ApiError

from ingest.config import Settings
from ingest.delivery.cluster import connect
from ingest.errors import ConfigError
from ingest.mappings import Change, apply, plan
from ingest.trimmer.index_templates import default_directory, load


def add_options(parser: argparse.ArgumentParser, *, can_force: bool) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a template")
    if can_force:
        parser.add_argument(
            "--force", action="store_true", help="also over newer templates and those of others"
        )


def run_plan(settings: Settings, options: dict[str, Any]) -> int:
    """Shows what apply would do; changes nothing."""
    templates = load(settings.mappings_dir or default_directory())
    with _client(settings) as client:
        _show(_asked(lambda: plan(client, templates)), options["json"])
    return 0


def run_apply(settings: Settings, options: dict[str, Any]) -> int:
    """Installs what differs. Raises ConfigError naming what is newer or foreign."""
    templates = load(settings.mappings_dir or default_directory())
    with _client(settings) as client:
        changes = _asked(lambda: apply(client, templates, options["force"]))
    _show(changes, options["json"])
    if not changes and not options["json"]:
        print("nothing to do: the cluster has all templates")
    return 0


async def apply_at_start(settings: Settings) -> list[Change]:
    """For `apply_mappings = true`. Raises ConfigError."""
    templates = load(settings.mappings_dir or default_directory())
    with _client(settings) as client:
        return await asyncio.to_thread(_asked, lambda: apply(client, templates))


def _client(settings: Settings) -> Any:
    if settings.elasticsearch.is_embedded:
        raise ConfigError("elasticsearch: give --elasticsearch http://HOST:PORT")
    return connect(settings.elasticsearch)


def _asked(ask: Any) -> list[Change]:
    try:
        changes: list[Change] = ask()
    except ApiError as error:
        raise ConfigError(f"elasticsearch refused: {error.status_code} {error.message}") from error
    except TransportError as error:
        raise ConfigError(f"elasticsearch can not be reached: {error.message}") from error
    return changes


def _show(changes: list[Change], as_json: bool) -> None:
    for change in changes:
        template = change.template
        if as_json:
            shown = {
                "kind": template.kind,
                "name": template.name,
                "version": template.version,
                "state": change.state,
                "difference": change.difference,
            }
            print(orjson.dumps(shown).decode())
            continue
        print(f"{change.state:<8} {template.kind} {template.name} (version {template.version})")
        if change.state == "update":
            print(change.difference)

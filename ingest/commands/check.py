"""`ingest check`: is the configuration good, and where would a document go?

Reads sample documents from standard input, one a line (or one pretty-printed), starts nothing and
asks nobody. What it shows is decided by the very functions that the service uses.
"""

import argparse
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import orjson

from ingest.config import Settings
from ingest.errors import ConfigError, RequestError
from ingest.model import Target
from ingest.router.router import Explanation, Router, explain
from ingest.rules import compile_rules

_MISSING = "–"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--route", metavar="NAME", help="as POST /ingest/NAME")
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME:VALUE", help="of the request"
    )
    parser.add_argument(
        "--query", action="append", default=[], metavar="NAME=VALUE", help="of the request"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a document")


def run(settings: Settings, options: dict[str, Any], documents: TextIO) -> int:
    """Exit code 0 if the configuration is good and every document can go."""
    router, _ = compile_rules(settings)
    request = {
        "path": "/ingest" + (f"/{options['route']}" if options["route"] else ""),
        "route_name": options["route"],
        "headers": {key.lower(): value for key, value in _pairs(options["header"], ":")},
        "query": dict(_pairs(options["query"], "=")),
    }
    print(f"configuration is good: {len(settings.routes)} routing rules", file=sys.stderr)
    if documents.isatty():
        return 0
    are_all_good = True
    for line in _lines(documents.buffer.read()):
        is_good, shown = _show(router, line, request)
        are_all_good &= is_good
        print(orjson.dumps(shown).decode() if options["json"] else _readable(shown))
    return 0 if are_all_good else 1


def _lines(content: bytes) -> Iterator[bytes]:
    try:
        orjson.loads(content)
        yield content
    except orjson.JSONDecodeError:
        yield from (line for line in content.splitlines() if line.strip())


def _show(router: Router, line: bytes, request: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    try:
        document = orjson.loads(line)
        if not isinstance(document, dict):
            return False, {"rejected": "not_an_object: a document must be a JSON object"}
        explanation = explain(router, document, line, **request)
    except orjson.JSONDecodeError as error:
        return False, {"rejected": f"malformed_json: {error}"}
    except RequestError as error:
        return False, {"rejected": f"{error.kind}: {error.reason}"}
    return explanation.rejection is None, _shown(explanation)


def _shown(explanation: Explanation) -> dict[str, Any]:
    asked = [
        {"rule": rule, "conditions": [{"is": text, "holds": holds} for text, holds in conditions]}
        for rule, conditions in explanation.asked
    ]
    if explanation.rejection is not None:
        refusal = explanation.rejection
        rejected = f"{refusal.type}: {refusal.reason}"
        return {"asked": asked, "rule": explanation.rule, "rejected": rejected}
    target = explanation.target
    assert isinstance(target, Target)
    return {
        "asked": asked,
        "rule": explanation.rule,
        "target": target.name,
        "action": target.action,
        "id": explanation.id,
        "ingest_pipeline": explanation.ingest_pipeline,
        "adds_timestamp": target.adds_timestamp,
    }


def _readable(shown: dict[str, Any]) -> str:
    lines = []
    for each in shown.pop("asked", []):
        tests = [f"{c['is']}: {'yes' if c['holds'] else 'no'}" for c in each["conditions"]]
        lines.append(f"  {each['rule']}: {', '.join(tests) or 'no conditions'}")
    width = max(map(len, shown))
    lines += [f"{key:<{width}}  {_MISSING if v is None else v}" for key, v in shown.items()]
    return "\n".join([*lines, ""])


def _pairs(options: list[str], separator: str) -> Iterator[tuple[str, str]]:
    for option in options:
        name, found, value = option.partition(separator)
        if not found:
            raise ConfigError(f"{option!r}: write NAME{separator}VALUE")
        yield name.strip(), value.strip()

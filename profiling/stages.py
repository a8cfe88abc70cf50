"""The pure stages of the hot path on the bench's documents, one callable each.

Each takes 1,000 nested log documents of about 415 bytes; what it needs is prepared outside.
"""

from collections.abc import Callable
from io import BytesIO
from typing import Any, NamedTuple

import orjson

from ingest.amendment import SAFE_LINE_BYTES
from ingest.config import load
from ingest.delivery.bulk_response import is_flawless
from ingest.encoder import encode
from ingest.model import Target
from ingest.parser import parse
from ingest.router.routes import read_routes
from ingest.rules import compile_rules
from ingest.splitter import split_json, split_lines
from ingest.trimmer.field_rules import FieldRuleBook
from ingest.trimmer.trimmer import trim
from loadtest.corpus import body, documents

DOCUMENTS = 1000
RULE = {
    "name": "services",
    "when": {"field": "service.name", "exists": True},
    "target": "logs-{service.name|unknown}-default",
}
Work = Callable[[], object]


class Stage(NamedTuple):
    """A stage's work, and the calibration loop whose kind of work it is."""

    run: Work
    like: Work


def parsing() -> Work:
    """A calibration loop: the parser and the allocator of this machine."""
    lines = documents("logs", 2, DOCUMENTS)

    def run() -> None:
        for line in lines:
            orjson.loads(line)

    return run


def copying() -> Work:
    """A calibration loop: the memory of this machine, which is not fast where its parser is."""
    lines = [line + b"\n" for line in documents("logs", 2, DOCUMENTS)]
    window = b"".join(lines)

    def run() -> None:
        BytesIO(window).readlines()
        b"".join(lines)

    return run


def stages() -> dict[str, Stage]:
    """Every stage by name."""
    parse_loop, copy_loop = parsing(), copying()
    lines = [line + b"\n" for line in documents("logs", 1, DOCUMENTS)]
    ndjson = body([line[:-1] for line in lines])
    array = b"[" + b",".join(line[:-1] for line in lines) + b"]"
    settings = load({})
    default, fields = compile_rules(settings)
    settings.routes = read_routes([RULE])
    ruled, _ = compile_rules(settings)
    plain_route = default.for_request("/ingest", None, {}, {})
    rule_route = ruled.for_request("/ingest", None, {}, {})
    targets = parse(list(lines), 0, rule_route, _unchanged, SAFE_LINE_BYTES).targets
    answer = b'{"errors":false,"took":1,"items":[%b]}' % b",".join(
        [b'{"create":{"status":201}}'] * DOCUMENTS
    )
    return {
        "split": Stage(lambda: split_lines(ndjson), copy_loop),
        "split an array": Stage(lambda: split_json(array), parse_loop),
        "parse, default target": Stage(
            lambda: parse(list(lines), 0, plain_route, _unchanged, SAFE_LINE_BYTES), parse_loop
        ),
        "parse, rule on a field": Stage(
            lambda: parse(list(lines), 0, rule_route, _unchanged, SAFE_LINE_BYTES), parse_loop
        ),
        "encode": Stage(lambda: encode(lines, targets, b"AAAAAAAAAAAAAAAAAAAAAA1f"), copy_loop),
        "read a flawless answer": Stage(lambda: is_flawless(answer, DOCUMENTS), copy_loop),
        "trim, nothing to cut": Stage(_trimming(fields), parse_loop),
    }


def _trimming(fields: FieldRuleBook) -> Work:
    lines = documents("oversized", 1, 50)
    parsed: list[dict[str, Any]] = [orjson.loads(line) for line in lines]
    rules = fields.rules_for("logs-generic-default")

    def run() -> None:
        for line, document in zip(lines, parsed, strict=True):
            trim(line, document, rules)

    return run


def _unchanged(line: bytes, document: dict[str, Any], target: Target) -> bytes:
    return line

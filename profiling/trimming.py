"""What looking into a long line costs, in units of its own `orjson.loads`, by the line's shape.

    python -m profiling.trimming

Each shape twice: all of its strings are keywords, so that what is oversized is cut, and all but
one unrelated field are text, so that there is nothing to cut. The least of many rounds in turn.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from ingest.trimmer.composition import Composed
from ingest.trimmer.field_rules import FieldRules
from ingest.trimmer.trimmer import trim

ROUNDS = 150
RECORD = [{"id": number, "name": f"item {number}", "ok": True} for number in range(1200)]
JSON_TEXT = json.dumps(RECORD, separators=(",", ":"))
STACK = 'Traceback\n  File "service.py", line 7, in run\n    raise Late("no answer")\n' * 600


def shapes() -> dict[str, bytes]:
    """Lines of 40 to 110 KB by name."""
    texts = {
        "long text": "words and more " * 3000,
        "long text, 3-byte": "東京大阪" * 4000,
        "stack trace": STACK,
        "JSON in a string": JSON_TEXT,
        "JSON in JSON in a string": json.dumps({"inner": JSON_TEXT}),
        "only quotes": '"' * 40_000,
        "only backslashes": "\\" * 40_000,
    }
    lines = {name: orjson.dumps({"message": text, "n": 1}) for name, text in texts.items()}
    return lines | {
        "\\u escapes for all but ASCII": _line({"message": "größer, schöner " * 3000}),
        "JSON in a string, \\u escapes": _line({"message": JSON_TEXT.replace("item", "größe")}),
        "JSON in a string, \\u003c": orjson.dumps({"message": JSON_TEXT.replace("item", "<b>")})
        .replace(b"<", b"\\u003c")
        .replace(b">", b"\\u003e"),
        "JSON in a string, \\u0022": orjson.dumps({"message": JSON_TEXT}).replace(
            b'\\"', b"\\u0022"
        ),
        "digits": _line({"message": "0123456789" * 4000, "items": RECORD[:100]}),
        "JSON in an element": orjson.dumps({"messages": ["short", JSON_TEXT]}),
        "JSON in 4 elements": orjson.dumps({"messages": [JSON_TEXT[:20_000]] * 3 + [JSON_TEXT]}),
        "JSON in 500 elements": orjson.dumps({"messages": [json.dumps(RECORD[:3])] * 500}),
        "an array of objects": orjson.dumps({"items": RECORD}),
        "an array of short strings": orjson.dumps({"tags": [f"tag {n}" for n in range(4000)]}),
        "an array of numbers": orjson.dumps({"values": [n / 7 for n in range(4000)]}),
        "4,000 fields": orjson.dumps({f"field{n}": f"value {n}" for n in range(4000)}),
        "objects 40 deep": orjson.dumps(_nested(40, {"text": "x" * 40_000})),
        "40 texts of 2 KB": orjson.dumps({f"text{n}": "some words " * 190 for n in range(40)}),
        "40 stack traces of 2 KB": orjson.dumps({f"trace{n}": STACK[:2000] for n in range(40)}),
        "pretty-printed": orjson.dumps({"items": RECORD}, option=orjson.OPT_INDENT_2).replace(
            b"\n", b" "
        ),
    }


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def _nested(depth: int, value: Any) -> dict[str, Any]:
    for number in range(depth):
        value = {f"level{number}": value}
    return dict(value)


def _rules(kind: str) -> FieldRules:
    dynamic = [{"strings": {"match_mapping_type": "string", "mapping": {"type": kind}}}]
    mapping = {"dynamic_templates": dynamic, "properties": {"unrelated": {"type": "keyword"}}}
    return FieldRules(Composed("shapes", mapping, {}), (), "no marker")


def main() -> None:
    keywords, texts = _rules("keyword"), _rules("text")
    print(f"{'shape':<32}{'KB':>5}{'parse µs':>10}{'cut, ×':>9}{'nothing to cut, ×':>19}")
    for name, line in shapes().items():
        document = orjson.loads(line)
        parse, cut, look = _least(
            partial(orjson.loads, line),
            partial(trim, line, document, keywords),
            partial(trim, line, document, texts),
        )
        figures = f"{parse * 1e6:>10.0f}{cut / parse:>9.1f}{look / parse:>19.1f}"
        print(f"{name:<32}{len(line) // 1024:>5}{figures}")


def _least(*stages: Callable[[], object]) -> list[float]:
    least = [float("inf")] * len(stages)
    for _ in range(ROUNDS):
        for index, stage in enumerate(stages):
            least[index] = min(least[index], _time(stage))
    return least


def _time(stage: Callable[[], object]) -> float:
    started = time.thread_time_ns()
    stage()
    return (time.thread_time_ns() - started) / 1e9


if __name__ == "__main__":
    main()

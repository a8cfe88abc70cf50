"""Lines to verdicts: each is parsed once, asked where it goes, and its document freed at once.

Holding thousands of parsed documents alive doubles the cost of parsing (1.1 to 2.2 µs a
document: allocation, cache, garbage collector), so everything that must see the document is
called from this one loop. What travels on is the line, not the document.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ingest.errors import DocumentRefused
from ingest.model import Rejection, Target

RouteDocument = Callable[[dict[str, Any], bytes], Target]
AmendLine = Callable[[bytes, dict[str, Any], Target], bytes]


@dataclass(slots=True)
class Parsed:
    """`lines[i]` goes to `targets[i]`; `positions` are their places in the body.

    `originals` holds, by index, what the producer sent of the lines that were trimmed.
    """

    lines: list[bytes]
    targets: list[Target]
    positions: range | list[int]
    originals: dict[int, bytes]
    rejections: list[Rejection]
    received: int


def parse(
    lines: list[bytes],
    first_position: int,
    route: RouteDocument,
    amend: AmendLine,
    amends_beyond_bytes: int,
) -> Parsed:
    """The verdict on each of `lines`; blank ones are skipped and have no position.

    `amend` is called for the few documents that may have to change (no `@timestamp` where the
    target wants one, or a line longer than `amends_beyond_bytes`) and gives the line to send;
    it and `route` raise DocumentRefused. `lines` itself is amended in place.
    """
    targets: list[Target] = []
    skipped: dict[int, DocumentRefused | None] = {}  # by index in `lines`; None for a blank line
    originals: dict[int, bytes] = {}
    append = targets.append
    loads = orjson.loads
    for line in lines:
        try:
            document = loads(line)
            if document.__class__ is not dict:
                raise DocumentRefused("not_an_object", "a document must be a JSON object")
            target = route(document, line)
            may_be_oversized = len(line) > amends_beyond_bytes or target.trims_short_lines
            if may_be_oversized or (target.adds_timestamp and "@timestamp" not in document):
                index = len(targets) + len(skipped)
                lines[index] = amend(line, document, target)
                if may_be_oversized and lines[index] is not line:
                    originals[index] = line
            append(target)
        except DocumentRefused as refusal:
            skipped[len(targets) + len(skipped)] = refusal
        except orjson.JSONDecodeError as error:
            refusal_of_line = DocumentRefused("malformed_json", str(error))
            skipped[len(targets) + len(skipped)] = None if line.isspace() else refusal_of_line
    if not skipped:
        positions = range(first_position, first_position + len(lines))
        return Parsed(lines, targets, positions, originals, [], len(lines))
    return _without_skipped(lines, targets, originals, skipped, first_position)


def _without_skipped(
    lines: list[bytes],
    targets: list[Target],
    originals: dict[int, bytes],
    skipped: dict[int, DocumentRefused | None],
    first_position: int,
) -> Parsed:
    kept: list[bytes] = []
    positions: list[int] = []
    kept_originals: dict[int, bytes] = {}
    rejections: list[Rejection] = []
    position = first_position
    for index, line in enumerate(lines):
        if index not in skipped:
            if index in originals:
                kept_originals[len(kept)] = originals[index]
            kept.append(line)
            positions.append(position)
        elif (refusal := skipped[index]) is not None:
            rejections.append(Rejection(position, refusal.type, refusal.reason, refusal.status))
        else:
            continue
        position += 1
    received = position - first_position
    return Parsed(kept, targets, positions, kept_originals, rejections, received)

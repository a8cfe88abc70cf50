"""Lines to verdicts: each is parsed once, asked where it goes, and its document freed at once.

Holding thousands of parsed documents alive doubles the cost of parsing (1.1 to 2.2 µs a
document: allocation, cache, garbage collector), so everything that must see the document is
called from this one loop. What travels on is the line, not the document. Refusals are noted as
values at once: a kept exception would keep this frame, and with it the whole window, until the
garbage collector came.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from ingest.errors import DocumentRefused
from ingest.model import Rejection, Target, rejection_of

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
    originals: dict[int, bytes] = {}
    rejections: list[Rejection] = []
    skipped: list[int] = []  # indices in `lines`: refused or blank
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
            position = first_position + len(targets) + len(rejections)
            skipped.append(len(targets) + len(skipped))
            rejections.append(rejection_of(refusal, position))
        except orjson.JSONDecodeError as error:
            position = first_position + len(targets) + len(rejections)
            skipped.append(len(targets) + len(skipped))
            if not line.isspace():
                rejections.append(Rejection(position, "malformed_json", str(error)))
    received = len(targets) + len(rejections)
    positions = range(first_position, first_position + received)
    if not skipped:
        return Parsed(lines, targets, positions, originals, rejections, received)
    return _without_skipped(
        skipped, Parsed(lines, targets, positions, originals, rejections, received)
    )


def _without_skipped(skipped: list[int], parsed: Parsed) -> Parsed:
    """`lines` and `originals` still have the lines that were skipped, and `positions` theirs."""
    is_skipped = set(skipped)
    kept = [index for index in range(len(parsed.lines)) if index not in is_skipped]
    is_rejected = {rejection.position for rejection in parsed.rejections}
    return Parsed(
        [parsed.lines[index] for index in kept],
        parsed.targets,
        [position for position in parsed.positions if position not in is_rejected],
        {new: parsed.originals[old] for new, old in enumerate(kept) if old in parsed.originals},
        parsed.rejections,
        parsed.received,
    )

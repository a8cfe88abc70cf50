"""Cuts what Elasticsearch would refuse for its length out of a line, and leaves a note of it there.

    {"tag":"aaaa…aaaa", …}  ─▶  {"ingest":{"oversize":[{"field":"tag","action":"trim",
                                 "bytes":40000,"kept":32766}]},"tag":"aaaa…aaaa", …}

The line stays byte for byte what it was, but for what is cut out and the note. A line of at most
32,766 bytes needs no look unless `short_lines_are_safe` is False: raw JSON is never shorter than
what it stands for.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from ingest.trimmer.field_rules import FieldRule, FieldRules, OversizeAction
from ingest.trimmer.json_spans import (
    PATH_CHARACTERS_MAX,
    Leaf,
    comma_after,
    lead_of,
    long_leaves,
)
from ingest.trimmer.json_text import prefix_of
from ingest.trimmer.terms import TERM_BYTES_MAX, UNKNOWN

MARKED_FIELD_CHARACTERS_MAX = 256
_NULL = ord("n")

# A value of no more bytes fits in any case: alone, behind the key of a flattened field, …
_SHORTEST_BYTES = TERM_BYTES_MAX - 4 * PATH_CHARACTERS_MAX
_SHORTEST_GROWING_BYTES = TERM_BYTES_MAX * 3 // UNKNOWN.unit_bytes_max  # … or lengthened
_CLOSES = re.compile(rb"\s*+\}")


@dataclass(frozen=True, slots=True)
class TrimmedField:
    """One value that was changed: its UTF-8 bytes, and how many of them are left."""

    field: str
    action: OversizeAction
    bytes: int
    kept: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """The line to send. With `dead_letter`, the reason why the original must not be sent at all."""

    line: bytes
    fields: tuple[TrimmedField, ...] = ()
    dead_letter: str | None = None


def trim(line: bytes, document: dict[str, Any], rules: FieldRules) -> Trimmed | None:
    """What becomes of a line that holds something oversized; None, mostly, if it doesn't.

    `document` is the parsed line.
    """
    if rules.is_safe:
        return None
    cuts: list[slice] = []
    dropped: list[Leaf] = []
    fields: list[TrimmedField] = []
    shortest = _SHORTEST_BYTES if rules.short_lines_are_safe else _SHORTEST_GROWING_BYTES
    for leaf in long_leaves(line, document, shortest, rules.find):
        rule = rules.find(leaf.path)
        if rule is None or line[leaf.start] == _NULL:
            continue
        value = _value(line, leaf)
        kept = _kept(value, rule, leaf.text is not None)
        if kept is value:
            continue
        if rule.action == "drop_field":
            dropped.append(leaf)
            fields.append(TrimmedField(leaf.path, "drop_field", value.bytes, 0))
            continue
        if rule.action == "dead_letter" or kept is None:
            return Trimmed(line, dead_letter=_reason(leaf.path, value, kept))
        cuts.append(slice(leaf.start + 1 + len(kept.content), leaf.end - 1))
        fields.append(TrimmedField(leaf.path, "trim", value.bytes, kept.bytes))
    if not fields:
        return None
    shorter = _without(line, cuts + _member_slices(line, dropped))
    return Trimmed(_marked(shorter, document, fields, rules.marker), tuple(fields))


class _Value:
    """A string by its raw content, decoded only when need be; a number by its digits."""

    __slots__ = ("_text", "bytes", "content")

    def __init__(self, content: bytes, text: str | None = None, size: int | None = None):
        self.content = content
        self._text = text
        if size is None:
            size = len(self.text().encode()) if b"\\" in content else len(content)
        self.bytes = size

    def text(self) -> str:
        if self._text is None:
            self._text = str(orjson.loads(b'"%b"' % self.content))
        return self._text


def _value(line: bytes, leaf: Leaf) -> _Value:
    if leaf.text is None:
        return _Value(line[leaf.start : leaf.end])
    return _Value(line[leaf.start + 1 : leaf.end - 1], leaf.text)


def _kept(value: _Value, rule: FieldRule, can_be_cut: bool) -> _Value | None:
    """The part of the value that fits into each term; None if nothing of it can."""
    while True:
        rooms = (term.room(value.bytes, value.text) for term in rule.terms)
        room = next((room for room in rooms if room is not None), None)
        if room is None:
            return value
        if room < 0 or not can_be_cut:
            return None
        content, size = prefix_of(value.content, room)
        value = _Value(content, size=size)


def _reason(path: str, value: _Value, kept: _Value | None) -> str:
    path = path[:MARKED_FIELD_CHARACTERS_MAX]
    if kept is None:
        return f"field {path}: its key in the flattened field is too long for one term"
    return f"field {path}: {value.bytes} bytes, of which one term can hold {kept.bytes}"


def _member_slices(line: bytes, dropped: Iterable[Leaf]) -> list[slice]:
    """What to cut for these members, with one comma each, so that those left stay separated.

    That is the comma behind. The last member has none: then the one before goes, which, where
    members right before are dropped too, is the one before them.
    """
    slices: list[slice] = []
    run_start, run_end = 0, -1
    for leaf in dropped:
        lead, comma = lead_of(line, leaf.start), comma_after(line, leaf.end)
        run_start = run_start if lead == run_end else lead
        run_end = comma or -1
        slices.append(slice(lead, comma or leaf.end))
        if comma is None and line[run_start - 1] == ord(","):
            slices.append(slice(run_start - 1, run_start))
    return slices


def _without(line: bytes, cuts: list[slice]) -> bytes:
    pieces, at = [], 0
    for cut in sorted(cuts, key=lambda cut: (cut.start, cut.stop)):
        pieces.append(line[at : cut.start])
        at = cut.stop
    return b"".join((*pieces, line[at:]))


def _marked(
    line: bytes, document: dict[str, Any], fields: list[TrimmedField], marker: str | None
) -> bytes:
    """The line with the note, unless that could clash with what the document holds."""
    if marker is None or any(name.startswith(f"{marker}.oversize") for name in document):
        return line
    note = orjson.dumps([_note(field) for field in fields])
    existing = document.get(marker)
    if marker not in document:
        member = b'%b:{"oversize":%b}' % (orjson.dumps(marker), note)
    elif isinstance(existing, dict) and not any(name.startswith("oversize") for name in existing):
        member = b"%b:%b" % (orjson.dumps(f"{marker}.oversize"), note)
    else:
        return line
    return _inserted(line, line.index(b"{") + 1, member)


def _note(field: TrimmedField) -> dict[str, str | int]:
    name = field.field[:MARKED_FIELD_CHARACTERS_MAX]
    return {"field": name, "action": field.action, "bytes": field.bytes, "kept": field.kept}


def _inserted(line: bytes, at: int, member: bytes) -> bytes:
    """With a member more at the beginning of the object whose members begin at `at`."""
    comma = b"" if _CLOSES.match(line, at) else b","
    return b"".join((line[:at], member, comma, line[at:]))

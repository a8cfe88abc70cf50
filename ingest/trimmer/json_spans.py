"""Byte ranges of values inside a JSON line, found without decoding what is short.

A line that was parsed already is walked with regular expressions, which pass over runs of short
members and shallow containers in C; Python stops only at what is long, deep or has many escapes.
The ends of long strings are found by `bytes.find` (memchr). Per byte, the regular expressions of
CPython cost a hundred times as much, so no long string may be matched by one.

Lines are valid JSON (the parser has seen to that); of anything else the ranges mean nothing.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

_SHORT_STRING = rb'"[^"\\]{0,128}+(?:\\.[^"\\]{0,128}+){0,8}+"'  # at most 9 × 128 + 8 × 2 + 2 bytes
_ANY_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PASSED_DEPTH = 6  # of containers
_NAMES_BYTES_MAX = 8192  # below names longer than this together nothing is passed over

SHORT_STRING_BYTES = 1170
"""No longer string is passed over unseen."""

SHORT_LEAF_BYTES = _NAMES_BYTES_MAX + (_PASSED_DEPTH + 2) * SHORT_STRING_BYTES
"""No leaf is passed over unseen whose names and raw value are together longer than this."""

_BACKSLASH = 0x5C


class Leaf(NamedTuple):
    """A value that is no object or array, or the opening of one, and where it stands.

    `lead` is where its member or element begins (just behind a comma or an opening bracket),
    `names` are the raw names from the top down; arrays add none. `first` is its first byte,
    `text` the content of a string where finding its end has told it.
    """

    lead: int
    start: int
    end: int
    names: tuple[bytes, ...]
    first: int
    text: str | None = None

    @property
    def is_string(self) -> bool:
        return self.first == _QUOTE

    @property
    def is_container(self) -> bool:
        return self.first in (_OBJECT, _ARRAY)

    @property
    def path(self) -> str:
        """The dotted path of the field, as Elasticsearch names it."""
        return ".".join(orjson.loads(name) for name in self.names)


def long_leaves(line: bytes, document: dict[str, Any], shortest_bytes: int) -> Iterator[Leaf]:
    """The leaves whose names and raw value are together longer than `shortest_bytes`.

    In the line's order, each of duplicate names too. `document` is the parsed line; it only helps
    to find the end of strings with many escapes sooner. With `shortest_bytes` below
    SHORT_LEAF_BYTES only strings over SHORT_STRING_BYTES are found for certain.
    """
    for leaf in _stops(line, document, _PASSING):
        names_bytes = sum(map(len, leaf.names))
        if leaf.end - leaf.start + names_bytes > shortest_bytes and not leaf.is_container:
            yield leaf


def find_object(line: bytes, name: str) -> int | None:
    """Where the members of the top-level object of this name begin; None if there is none."""
    for leaf in _stops(line, {}, _STEPPING):
        if leaf.first == _OBJECT and len(leaf.names) == 1 and leaf.path == name:
            return leaf.start + 1
    return None


def comma_after(line: bytes, end: int) -> int | None:
    """The position behind the comma that follows `end`; None if a bracket follows."""
    found = _AFTER.match(line, end)
    return found.end() if found and found[1] else None


def prefix_of(content: bytes, room: int) -> tuple[bytes, int]:
    """The longest start of a string's raw content that stands for at most `room` UTF-8 bytes.

    And the number of bytes that it stands for.

    Cut between code points; an escape and a surrogate pair stay whole. As no raw byte stands for
    more than one byte, `room` raw bytes always fit: what they leave of the room is filled again,
    so the string is decoded about once, however many escapes it has.
    """
    end, kept = 0, 0
    while (stop := _boundary(content, end, end + room - kept)) > end:
        kept += _decoded_bytes(content[end:stop])
        end = stop
    for character in _CHARACTER.finditer(content, end):  # at most twelve: less room than raw bytes
        size = _decoded_bytes(character[0])
        if kept + size > room:
            break
        kept += size
        end = character.end()
    return content[:end], kept


def _decoded_bytes(content: bytes) -> int:
    if _BACKSLASH not in content:
        return len(content)
    text: str = orjson.loads(b'"%b"' % content)
    return len(text.encode())


def _boundary(content: bytes, start: int, stop: int) -> int:
    """The last place up to `stop` where a character begins; `start` is such a place."""
    if stop >= len(content):
        return len(content)
    while content[stop] & 0xC0 == 0x80:
        stop -= 1
    slash = content.rfind(b"\\", max(start, stop - 6), stop)
    if slash < 0 or not _is_escaped(content, slash + 1):
        return stop
    width = 6 if content[slash + 1 : slash + 2] == b"u" else 2
    surrogate = content[slash + 1 : slash + 4].lower()
    if surrogate.startswith(_HIGH):
        return slash
    if slash + width <= stop:
        return stop
    return slash - 6 if surrogate.startswith(_LOW) else slash


_HIGH = (b"ud8", b"ud9", b"uda", b"udb")
_LOW = (b"udc", b"udd", b"ude", b"udf")
_CHARACTER = re.compile(
    rb"\\u[dD][89abAB]..\\u....|\\u....|\\.|[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*", re.DOTALL
)


def _is_escaped(line: bytes, at: int) -> bool:
    """Whether an odd number of backslashes stands right before `at`."""
    first = at
    while first and line[first - 1] == _BACKSLASH:
        first -= 1
    return (at - first) % 2 == 1


def _container(short: bytes, depth: int) -> bytes:
    """A pattern of objects and arrays of short values; valid JSON needs no look at its commas."""
    inner = rb"|" + _container(short, depth - 1) if depth > 1 else b""
    return rb'[{\[](?:[^"{}\[\]]++|%b%b)*+[}\]]' % (short, inner)


def _steps(value: bytes) -> dict[int, re.Pattern[bytes]]:
    """For each bracket what follows in it: (1) what may be passed over, (2) a name, (3) the end."""
    passed = rb"\s*+%b\s*+(?:,|(?=[}\]]))"
    members = passed % (rb"%b\s*+:\s*+%b" % (_SHORT_STRING, value))
    in_object = rb"((?:%b)*+)\s*+(?:(%b)\s*+:\s*+|(\}))" % (members, _ANY_STRING)
    in_array = rb"((?:%b)*+)\s*+()(\])?+" % (passed % value)
    return {_OBJECT: re.compile(in_object, re.DOTALL), _ARRAY: re.compile(in_array, re.DOTALL)}


_OBJECT, _ARRAY, _QUOTE = b'{["'
_PASSED = rb'(?:%b|[^\s"\[\]{},:]++|%b)' % (_SHORT_STRING, _container(_SHORT_STRING, _PASSED_DEPTH))
_PASSING = _steps(_PASSED)
_STEPPING = _steps(rb"(?!)")
_AFTER = re.compile(rb"\s*+(,)?+")
_UNTIL_DELIMITER = re.compile(rb"[^\s,\]}]*+")
# Not behind exactly 1, 3 or 7 backslashes, as quotes are in JSON, in JSON in JSON, and so on.
_PERHAPS_CLOSING = re.compile(rb'"(?<!(?<!\\)\\")(?<!(?<!\\)\\{3}")(?<!(?<!\\)\\{7}")')


def _stops(
    line: bytes, document: dict[str, Any], steps: dict[int, re.Pattern[bytes]]
) -> Iterator[Leaf]:
    """Each leaf and opening bracket that is not passed over, in order."""
    at = line.index(b"{") + 1
    opened: list[tuple[re.Pattern[bytes], tuple[bytes, ...]]] = [(steps[_OBJECT], ())]
    while opened:
        step, names = opened[-1]
        found = step.match(line, at)
        if found is None:
            return  # not JSON
        lead, start = found.end(1), found.end()
        if found[3]:
            opened.pop()
            at = _behind(line, start)
            continue
        names = (*names, found[2]) if found[2] else names
        first = line[start]
        if first in (_OBJECT, _ARRAY):
            is_deep = sum(map(len, names)) > _NAMES_BYTES_MAX
            opened.append(((_STEPPING if is_deep else steps)[first], names))
            at = start + 1
            yield Leaf(lead, start, at, names, first)
            continue
        end, text = _end_of_value(line, start, document, names)
        yield Leaf(lead, start, end, names, first, text)
        at = _behind(line, end)


def _behind(line: bytes, end: int) -> int:
    found = _AFTER.match(line, end)
    return found.end() if found else end


def _end_of_value(
    line: bytes, start: int, document: dict[str, Any], names: tuple[bytes, ...]
) -> tuple[int, str | None]:
    """Where the value ends, and its text if that was needed to know."""
    if line[start] != _QUOTE:
        found = _UNTIL_DELIMITER.match(line, start)
        return (found.end() if found else start), None
    quote = line.index(b'"', start + 1)
    if line[quote - 1] != _BACKSLASH:
        return quote + 1, None
    return _end_and_text(line, start, _text_at(document, names)) or (
        _closing_quote(line, start + 1) + 1,
        None,
    )


def _end_and_text(line: bytes, start: int, expected: str | None) -> tuple[int, str] | None:
    """The end, looked for where it can be at the earliest if the string is the expected one.

    A slice that decodes as one string is one, so a wrong expectation (of two equal names) costs
    time only. For JSON inside a string this takes a third of looking at each of its quotes.
    """
    if expected is None:
        return None
    end = _closing_quote(line, start + 1 + len(expected.encode())) + 1
    try:
        return end, str(orjson.loads(line[start:end]))
    except orjson.JSONDecodeError:
        return None


def _text_at(document: dict[str, Any], names: tuple[bytes, ...]) -> str | None:
    value: Any = document
    for name in names:
        value = value.get(orjson.loads(name)) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


def _closing_quote(line: bytes, at: int) -> int:
    """The first quote from `at` on, which is inside a string, that no backslash escapes."""
    for quote in _PERHAPS_CLOSING.finditer(line, at):
        if not _is_escaped(line, quote.start()):
            return quote.start()
    return len(line)

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

# A string is passed over in C up to 9 × 256 bytes and 8 escapes: at most 2,368 bytes.
_SHORT_STRING = rb'"[^"\\]{0,256}+(?:\\.[^"\\]{0,256}+){0,8}+"'
_ANY_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR = rb'[^\s"\[\]{},:]{1,1024}+'
_NAMES_BYTES_MAX = 8192  # below names longer than this together nothing is passed over

SHORT_STRING_BYTES = 2400
"""No longer string is passed over unseen."""

SHORT_LEAF_BYTES = _NAMES_BYTES_MAX + 4 * SHORT_STRING_BYTES
"""No leaf is passed over unseen whose names and raw value are together longer than this."""

_BACKSLASH = 0x5C


class Leaf(NamedTuple):
    """A value that is no object or array, or the opening of one, and where it stands.

    `lead` is where its member or element begins (just behind a comma or an opening bracket),
    `names` are the raw names from the top down; arrays add none.
    """

    lead: int
    start: int
    end: int
    names: tuple[bytes, ...]

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
        if leaf.end - leaf.start + names_bytes > shortest_bytes:
            yield leaf


def find_object(line: bytes, name: str) -> int | None:
    """Where the members of the top-level object of this name begin; None if there is none."""
    for leaf in _stops(line, {}, _STEPPING):
        if line[leaf.start] == _OBJECT and len(leaf.names) == 1 and leaf.path == name:
            return leaf.start + 1
    return None


def comma_after(line: bytes, end: int) -> int | None:
    """The position behind the comma that follows `end`; None if a bracket follows."""
    found = _AFTER.match(line, end)
    return found.end() if found and found[1] else None


def prefix_of(content: bytes, room: int) -> bytes:
    """The longest start of a string's raw content that stands for at most `room` UTF-8 bytes.

    Cut between code points; an escape and a surrogate pair stay whole. As no raw byte stands for
    more than one byte, `room` raw bytes always fit: what they leave of the room is filled again,
    so the string is decoded about once, however many escapes it has.
    """
    end, limit = 0, len(content)
    while (stop := _boundary(content, end, min(end + room, limit))) > end:
        room -= _decoded_bytes(content[end:stop])
        end = stop
    for character in _CHARACTER.finditer(content, end):  # at most twelve: less room than raw bytes
        room -= _decoded_bytes(character[0])
        if room < 0:
            break
        end = character.end()
    return content[:end]


def _decoded_bytes(content: bytes) -> int:
    if _BACKSLASH not in content:
        return len(content)
    text: str = orjson.loads(b'"%b"' % content)
    return len(text.encode())


def _boundary(content: bytes, start: int, stop: int) -> int:
    """The last place up to `stop` where a character begins; `start` is such a place."""
    if stop == len(content):
        return stop
    while content[stop] & 0xC0 == 0x80:
        stop -= 1
    slash = content.rfind(b"\\", max(start, stop - 6), stop)
    if slash < 0 or _backslashes_before(content, start, slash + 1) % 2 == 0:
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


def _backslashes_before(line: bytes, start: int, end: int) -> int:
    """How many backslashes stand in a row right before `end`."""
    before = line[start:end]
    return len(before) - len(before.rstrip(b"\\"))


def _container(value: bytes) -> bytes:
    """A pattern of objects and arrays of such values."""
    member = rb"%b\s*+:\s*+%b" % (_SHORT_STRING, value)
    return rb"(?:\{\s*+(?:%b\s*+(?:,\s*+%b\s*+)*+)?+\}|\[\s*+(?:%b\s*+(?:,\s*+%b\s*+)*+)?+\])" % (
        member,
        member,
        value,
        value,
    )


def _steps(value: bytes) -> dict[int, re.Pattern[bytes]]:
    """For each bracket what follows in it: (1) what may be passed over, (2) a name, (3) the end.

    The last member has no comma behind it, so it is passed over only where the end follows.
    """
    member = rb"\s*+%b\s*+:\s*+%b\s*+" % (_SHORT_STRING, value)
    element = rb"\s*+%b\s*+" % value
    in_object = rb"((?:%b,)*+(?:%b(?=\}))?+)\s*+(?:(%b)\s*+:\s*+|(\}))"
    in_array = rb"((?:%b,)*+(?:%b(?=\]))?+)\s*+()(\])?+"  # an element has no name
    return {
        _OBJECT: re.compile(in_object % (member, member, _ANY_STRING), re.DOTALL),
        _ARRAY: re.compile(in_array % (element, element), re.DOTALL),
    }


_OBJECT, _ARRAY, _QUOTE = b'{["'
_SHALLOW = rb"(?:%b|%b)" % (_SHORT_STRING, _SCALAR)
for _depth in range(2):
    _SHALLOW = rb"(?:%b|%b|%b)" % (_SHORT_STRING, _SCALAR, _container(_SHALLOW))
_PASSING = _steps(_SHALLOW)
_STEPPING = _steps(rb"(?!)")
_AFTER = re.compile(rb"\s*+(,)?+")
_UNTIL_DELIMITER = re.compile(rb"[^\s,\]}]*+")
_PERHAPS_CLOSING = re.compile(rb'"(?<!(?<!\\)\\")')  # not behind one single backslash


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
            yield Leaf(lead, start, at, names)
            continue
        end = _end_of_value(line, start, document, names)
        yield Leaf(lead, start, end, names)
        at = _behind(line, end)


def _behind(line: bytes, end: int) -> int:
    found = _AFTER.match(line, end)
    return found.end() if found else end


def _end_of_value(
    line: bytes, start: int, document: dict[str, Any], names: tuple[bytes, ...]
) -> int:
    if line[start] != _QUOTE:
        found = _UNTIL_DELIMITER.match(line, start)
        return found.end() if found else start
    quote = line.index(b'"', start + 1)
    if line[quote - 1] != _BACKSLASH:
        return quote + 1
    return _end_as_usually_written(line, start, document, names) or _end_of_string(line, start)


def _end_as_usually_written(
    line: bytes, start: int, document: dict[str, Any], names: tuple[bytes, ...]
) -> int | None:
    """Writes the parsed value again: if the line holds the same there, it ends there too.

    Costs a fourth of looking at each quote of, say, JSON inside a string.
    """
    value: Any = document
    for name in names:
        value = value.get(orjson.loads(name)) if isinstance(value, dict) else None
    if not isinstance(value, str):
        return None
    written = orjson.dumps(value)
    return start + len(written) if line.startswith(written, start) else None


def _end_of_string(line: bytes, start: int) -> int:
    for quote in _PERHAPS_CLOSING.finditer(line, start + 1):
        if _backslashes_before(line, start + 1, quote.start()) % 2 == 0:
            return quote.end()
    return len(line)

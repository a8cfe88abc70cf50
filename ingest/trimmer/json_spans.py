"""Byte ranges of long values inside a JSON line that was parsed already.

The parsed document tells which texts are long, in the line's order; each is then found in the line
by its two ends, and proven by decoding what lies between. So what is short costs a look at its
length, and what is long and may have to be cut its decoding once more.

A line with very long paths or numbers, or with a text that none of the usual JSON writers would
have written so, is read token by token: the same answer, many times slower.

Elasticsearch refuses a document with two equal names in one object, whatever their length, so it
does no harm that the parsed document knows only the last of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from ingest.trimmer.json_text import is_escaped, spellings

PATH_CHARACTERS_MAX = 2048

_ENDS_CHARACTERS = 64  # of a long text, which the line is searched for
_ATTEMPTS_MAX = 32  # at one text: others may begin and end like it
_NUMBER_BYTES = 64  # a number that fills them may be a long one
_BACKSLASH, _QUOTE, _OBJECT, _ARRAY = b'\\"{['


class Leaf(NamedTuple):
    """A value that is no object or array: `line[start:end]`.

    `path` is the dotted path of its field, as Elasticsearch names it; arrays add nothing to it.
    `text` is that of a string.
    """

    start: int
    end: int
    path: str
    text: str | None


def long_leaves(
    line: bytes,
    document: dict[str, Any],
    shortest_bytes: int,
    is_asked_for: Callable[[str], object],
) -> Iterable[Leaf]:
    """The leaves longer than `shortest_bytes`, or with a path over PATH_CHARACTERS_MAX, in order.

    None with a path that is asked for is missing; others and shorter ones may be among them.
    `document` is the parsed line.
    """
    shortest = shortest_bytes // 4  # characters
    survey = _Survey(shortest)
    try:
        survey.visit(document, "")
        if not (survey.has_floats and _may_hold_long_number(line, shortest)):
            is_needed = any(is_asked_for(path) for path, _ in survey.texts)
            return _located(line, survey.texts) if is_needed else ()
    except (_NotLocated, RecursionError):
        pass
    return _read(line, shortest_bytes)


def lead_of(line: bytes, start: int) -> int:
    """Where the member or element of this value begins: behind a comma or an opening bracket."""
    at = _behind_last(line, start)
    if line[at - 1 : at] != b":":
        return at
    quote = line.rindex(b'"', 0, at - 1)
    quote = line.rindex(b'"', 0, quote)
    while is_escaped(line, quote, 0):
        quote = line.rindex(b'"', 0, quote)
    return _behind_last(line, quote)


def comma_after(line: bytes, end: int) -> int | None:
    """The position behind the comma that follows `end`; None if a bracket follows."""
    found = _AFTER.match(line, end)
    return found.end() if found and found[1] == b"," else None


class _NotLocated(Exception):
    """This line has to be read token by token."""


class _Survey:
    """Collects the paths and texts of the strings of a document that are longer than `shortest`."""

    def __init__(self, shortest: int):
        self.texts: list[tuple[str, str]] = []
        self.has_floats = False  # as which all numbers of many digits are parsed
        self._shortest = shortest

    def visit(self, members: dict[str, Any], path: str) -> None:
        """Raises _NotLocated for a path that is too long."""
        shortest = self._shortest
        prefix = _prefix(path)
        room = PATH_CHARACTERS_MAX - len(prefix)
        for name, each in members.items():
            if len(name) > room:
                raise _NotLocated
            kind = each.__class__
            if kind is str:
                if len(each) > shortest:
                    self.texts.append((prefix + name, each))
            elif kind is dict:
                self.visit(each, prefix + name)
            elif kind is list:
                self._visit_elements(each, prefix + name)
            elif kind is float:
                self.has_floats = True

    def _visit_elements(self, elements: list[Any], path: str) -> None:
        """Looks at each as `visit` does, in a loop of its own: a call for each costs as much."""
        shortest = self._shortest
        for each in elements:
            kind = each.__class__
            if kind is str:
                if len(each) > shortest:
                    self.texts.append((path, each))
            elif kind is dict:
                self.visit(each, path)
            elif kind is list:
                self._visit_elements(each, path)
            elif kind is float:
                self.has_floats = True


def _prefix(path: str) -> str:
    """What stands before the names in an object of this path."""
    return path + "." if path else ""


def _may_hold_long_number(line: bytes, shortest: int) -> bool:
    """A number of more than `shortest` digits covers one of these places."""
    return any(
        not line[at : at + _NUMBER_BYTES].strip(b"0123456789+-.eE")
        for at in range(0, len(line) - _NUMBER_BYTES, shortest // 2)
    )


def _located(line: bytes, texts: list[tuple[str, str]]) -> list[Leaf]:
    """Raises _NotLocated where one is not found.

    As all long strings are asked for, in order, none can be taken for another: not even two with
    the same text, of which the first is written in an unusual way, since then one is left over.
    """
    leaves: list[Leaf] = []
    end = 0
    for path, text in texts:
        start, end = _span(line, text, end)
        leaves.append(Leaf(start, end, path, text))
    return leaves


def _span(line: bytes, text: str, at: int) -> tuple[int, int]:
    """Where the string value with this text stands, from `at` on, its quotes included."""
    if text.lstrip()[:1] in _BETWEEN:
        raise _NotLocated  # what stands between two strings might look like it
    heads, tails = spellings(text[:_ENDS_CHARACTERS]), spellings(text[-_ENDS_CHARACTERS:])
    tried = set()
    for head, tail in zip(heads, tails, strict=True):
        if (head, tail) in tried:
            continue
        tried.add((head, tail))
        start = at - 1
        for _ in range(_ATTEMPTS_MAX):
            start = line.find(b'"' + head, start + 1)
            earliest = start + 1 + max(len(text) - len(tail), 0)  # no less than a byte each
            tail_start = line.find(tail + b'"', earliest) if start >= 0 else -1
            if tail_start < 0:
                break
            end = tail_start + len(tail) + 1
            if line[start - 1] != _BACKSLASH and _is_value(line, start, end, text):
                return start, end
    raise _NotLocated


_BETWEEN = (",", ":", "]", "}", "")


def _is_value(line: bytes, start: int, end: int, text: str) -> bool:
    try:
        decoded = orjson.loads(line[start:end])
    except orjson.JSONDecodeError:
        return False
    following = _AFTER.match(line, end)
    return bool(decoded == text and following and following[1])


def _behind_last(line: bytes, end: int) -> int:
    """The position behind the last byte before `end` that is no white space."""
    while line[end - 1] in b" \t\r\n":
        end -= 1
    return end


_AFTER = re.compile(rb"\s*+([,\]}]|)")
_TOKEN = re.compile(rb'[{}\[\],:]|"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\s{}\[\],:"]++', re.DOTALL)


def _read(line: bytes, shortest_bytes: int) -> Iterator[Leaf]:
    """What `long_leaves` gives, token by token."""
    paths: list[str] = []  # of the open containers
    is_object: list[bool] = []
    path = ""
    is_name = False
    for token in _TOKEN.finditer(line):
        first = line[token.start()]
        if first in (_OBJECT, _ARRAY):
            paths.append(path)
            is_object.append(first == _OBJECT)
            is_name = first == _OBJECT
        elif first in b"}]":
            path = paths.pop()
            is_object.pop()
        elif first in b",:":
            is_name = first == b","[0] and is_object[-1]
        elif is_name:
            path = _prefix(paths[-1]) + orjson.loads(token[0])
        elif len(token[0]) > shortest_bytes or len(path) > PATH_CHARACTERS_MAX:
            text = orjson.loads(token[0]) if first == _QUOTE else None
            yield Leaf(token.start(), token.end(), path, text)

"""Whatever JSON is sent: each document's own bytes, on one line."""

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import MalformedRequest
from ingest.splitter import split_json, split_lines

NUMBERS = [b"0", b"-0", b"1e5", b"1E+05", b"18446744073709551616", b"-0.1000000000000000000001"]
ESCAPES = [
    b"\\n",
    b"\\r",
    b"\\u000a",
    b'\\"',
    b"\\\\",
    b"[",
    b"]",
    b",",
    b"{",
    b"}",
    b"\xc3\xa9",
    b"x",
]

blanks = st.lists(st.sampled_from([b" ", b"\t", b"\n", b"\r", b"\r\n"]), max_size=2).map(b"".join)
strings = st.lists(st.sampled_from(ESCAPES), max_size=5).map(lambda p: b'"' + b"".join(p) + b'"')
scalars = st.sampled_from([*NUMBERS, b"true", b"false", b"null"]) | strings


def joined(open: bytes, close: bytes) -> Any:
    """Renders members with white space wherever JSON allows it."""

    def render(members: list[tuple[bytes, bytes, bytes]]) -> bytes:
        content = b",".join(before + member + after for before, member, after in members)
        return open + content + close

    return render


def arrays(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(blanks, inner, blanks), max_size=3).map(joined(b"[", b"]"))


def objects(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    members = st.tuples(strings, blanks, blanks, inner).map(
        lambda m: m[0] + m[1] + b":" + m[2] + m[3]
    )
    return st.lists(st.tuples(blanks, members, blanks), max_size=3).map(joined(b"{", b"}"))


values = st.recursive(scalars, lambda inner: arrays(inner) | objects(inner), max_leaves=8)
documents = objects(values)


def flat(document: bytes) -> bytes:
    return re.sub(rb"[\r\n]", b" ", document) + b"\n"


@given(st.lists(st.tuples(blanks, values, blanks), max_size=6), blanks, blanks)
def test_elements_are_sliced_as_they_were_sent(
    elements: list[tuple[bytes, bytes, bytes]], before: bytes, after: bytes
) -> None:
    body = before + joined(b"[", b"]")(elements) + after
    assert split_json(memoryview(body)) == [flat(element) for _, element, _ in elements]


@given(documents, blanks, blanks)
def test_one_object_is_one_line(document: bytes, before: bytes, after: bytes) -> None:
    [line] = split_json(before + document + after)
    assert line == flat(document)
    assert json.loads(line, object_pairs_hook=list) == json.loads(document, object_pairs_hook=list)


@given(documents, st.data())
def test_what_is_no_json_never_becomes_some(document: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(document) - 1))
    broken = (
        document[:place] + data.draw(st.sampled_from([b"\n", b"\r", b""])) + document[place + 1 :]
    )
    if is_json(broken):
        return
    assert not any(map(is_json, split_json(broken)))
    try:
        lines = split_json(b"[" + broken + b"]")
    except MalformedRequest:
        return
    assert not all(map(is_json, lines))


def is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@given(
    st.lists(st.binary(max_size=6).map(lambda b: b.replace(b"\n", b"")), max_size=8), st.booleans()
)
def test_lines_are_what_stands_between_line_feeds(lines: list[bytes], ends: bool) -> None:
    window = b"\n".join(lines) + (b"\n" if ends and lines else b"")
    split = split_lines(bytearray(window))
    assert all(line.index(b"\n") == len(line) - 1 for line in split)
    assert b"".join(split) in (window, window + b"\n")

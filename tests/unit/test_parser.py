"""Verdicts on lines: what is refused is refused alone, and positions are right."""

from typing import Any

import orjson
import pytest

from ingest.errors import DocumentRefused
from ingest.model import Target
from ingest.parser import Parsed, parse

PLAIN = Target("plain", "create", "assigned", b"")
STAMPED = Target("stamped", "create", "assigned", b"", adds_timestamp=True)
LOWERED = Target("lowered", "create", "assigned", b"", trims_short_lines=True)
NESTED = 1024
SHORT_BYTES = 300


def route(document: dict[str, Any], line: bytes) -> Target:
    if "refuse" in document:
        raise DocumentRefused("routing_error", "no target", 422)
    return STAMPED if "stamp" in document else LOWERED if "lower" in document else PLAIN


def keep(line: bytes, document: dict[str, Any], target: Target) -> bytes:
    return line


def parsed(lines: list[bytes], first_position: int = 0) -> Parsed:
    return parse(lines, first_position, route, keep, 100_000)


MALFORMED = [
    pytest.param(b'{"a":NaN}', id="NaN"),
    pytest.param(b'{"a":Infinity}', id="Infinity"),
    pytest.param(b'{"a":-Infinity}', id="-Infinity"),
    pytest.param(b'{"a":1e999}', id="larger than a double"),
    pytest.param(b'{"a":"\\ud800"}', id="lone high surrogate"),
    pytest.param(b'{"a":"\\udc00"}', id="lone low surrogate"),
    pytest.param(b'{"\\ud800":1}', id="lone surrogate in a key"),
    pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate in UTF-8"),
    pytest.param(b'{"a":"\xff"}', id="invalid UTF-8"),
    pytest.param(b'{"a":"\xc3"}', id="cut UTF-8"),
    pytest.param(b'\xef\xbb\xbf{"a":1}', id="BOM"),
    pytest.param(b'{"a":1', id="truncated"),
    pytest.param(b'{"a":"b', id="truncated in a string"),
    pytest.param(b"{", id="only opened"),
    pytest.param(b'{"a":1}x', id="trailing garbage"),
    pytest.param(b'{"a":1} {"b":2}', id="two documents"),
    pytest.param(b'{"a":1},', id="trailing comma"),
    pytest.param(b'{"a":1}\x00', id="trailing NUL"),
    pytest.param(b"{'a':1}", id="single quotes"),
    pytest.param(b"{a:1}", id="bare key"),
    pytest.param(b'{"a":"\t"}', id="control character"),
    pytest.param(b'{"a":01}', id="leading zero"),
    pytest.param(b'{"a":0x10}', id="hexadecimal"),
    pytest.param(b'{"a":undefined}', id="undefined"),
    pytest.param(b'{"a":1,}', id="trailing comma inside"),
    pytest.param(b'{"a":1}//x', id="comment"),
    pytest.param(b"\x00", id="NUL"),
    pytest.param(b"\xc2\xa0", id="no-break space"),
    pytest.param(b'{"a":' * (NESTED + 1) + b"1" + b"}" * (NESTED + 1), id="1,025 deep"),
    pytest.param(b"[" * 100_000, id="100,000 arrays"),
]
NOT_OBJECTS = [b"1", b"-1.5", b'"text"', b"null", b"true", b"false", b"[]", b'[{"a":1}]']
ENDINGS = pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["lf", "crlf"])


@ENDINGS
@pytest.mark.parametrize("line", MALFORMED)
def test_a_malformed_line_is_refused_alone(line: bytes, ending: bytes) -> None:
    before, after = b'{"b":1}' + ending, b'{"c":1}' + ending
    result = parsed([before, line + ending, after], 5)
    [rejection] = result.rejections
    assert (rejection.position, rejection.type, rejection.status) == (6, "malformed_json", 400)
    assert (result.lines, list(result.positions)) == ([before, after], [5, 7])
    assert result.received == 3


@ENDINGS
@pytest.mark.parametrize("line", NOT_OBJECTS)
def test_what_is_no_object_is_refused_alone(line: bytes, ending: bytes) -> None:
    result = parsed([b"{}\n", b" " + line + ending, b"{}\n"])
    [rejection] = result.rejections
    assert (rejection.position, rejection.type) == (1, "not_an_object")
    assert list(result.positions) == [0, 2]


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \n", b"\t \r\n"])
def test_blank_lines_have_no_position(blank: bytes) -> None:
    result = parsed([blank, b'{"a":1}\n', blank, b"x\n", blank, blank, b'{"b":1}\n', blank], 10)
    assert list(result.positions) == [10, 12]
    assert [rejection.position for rejection in result.rejections] == [11]
    assert result.received == 3


def test_only_blank_lines_are_nothing() -> None:
    result = parsed([b"\n", b" \n"], 3)
    assert (result.lines, list(result.positions), result.received) == ([], [], 0)


def test_1024_levels_are_read() -> None:
    assert parsed([b'{"a":' * NESTED + b"1" + b"}" * NESTED + b"\n"]).rejections == []


def test_reasons_do_not_repeat_the_document() -> None:
    result = parsed([b'{"password":"hunter2",\n', b'"hunter2"\n', b'{"hunter2":NaN}\n'])
    assert len(result.rejections) == 3
    assert not any("hunter2" in rejection.reason for rejection in result.rejections)


def test_kept_lines_are_the_same_objects() -> None:
    lines = [b'{"n":1e5}\n', b"x\n", b'{ "a":18446744073709551616 }\r\n']
    result = parsed(lines[:])
    assert [id(line) for line in result.lines] == [id(lines[0]), id(lines[2])]
    assert result.originals == {}
    assert result.targets == [PLAIN, PLAIN]


def test_a_refusal_of_the_router_is_a_rejection() -> None:
    result = parsed([b'{"refuse":1}\n', b"{}\n"], 2)
    [rejection] = result.rejections
    assert (rejection.position, rejection.type, rejection.status) == (2, "routing_error", 422)
    assert list(result.positions) == [3]


def padded(line: bytes, size: int) -> bytes:
    return line[:-1] + b" " * (size - len(line)) + b"\n"


@pytest.mark.parametrize(
    ("line", "is_shown"),
    [
        pytest.param(b'{"a":1}\n', False, id="plain"),
        pytest.param(padded(b'{"a":1}\n', SHORT_BYTES), False, id="just safe"),
        pytest.param(padded(b'{"a":1}\n', SHORT_BYTES + 1), True, id="long"),
        pytest.param(b'{"stamp":1}\n', True, id="without timestamp"),
        pytest.param(b'{"stamp":1,"@timestamp":null}\n', False, id="with timestamp"),
        pytest.param(b'{"stamp":1,"\\u0040timestamp":1}\n', False, id="timestamp escaped"),
        pytest.param(b'{"lower":1}\n', True, id="short lines may be oversized"),
    ],
)
def test_only_lines_that_may_change_are_shown_to_amend(line: bytes, is_shown: bool) -> None:
    shown: list[bytes] = []

    def amend(line: bytes, document: dict[str, Any], target: Target) -> bytes:
        assert document == orjson.loads(line)
        shown.append(line)
        return line

    parse([b"{}\n", line], 0, route, amend, SHORT_BYTES)
    assert shown == ([line] if is_shown else [])


def amend_or_refuse(line: bytes, document: dict[str, Any], target: Target) -> bytes:
    if "big" in document:
        raise DocumentRefused("document_too_large", "too large", 413)
    return b'{"amended":%d}\n' % next(iter(document.values()))


def test_amended_and_refused_lines_keep_their_places() -> None:
    lines = [
        b"\n",
        b'{"stamp":1}\n',
        b'{"stamp":2,"big":1}\n',
        b"x\n",
        b'{"a":3}\n',
        b'{"lower":4}\n',
        b'{"lower":5,"big":1}\n',
        b'{"lower":6}\n',
    ]
    result = parse(lines[:], 0, route, amend_or_refuse, SHORT_BYTES)
    assert result.lines == [
        b'{"amended":1}\n',
        b'{"a":3}\n',
        b'{"amended":4}\n',
        b'{"amended":6}\n',
    ]
    assert [target.name for target in result.targets] == ["stamped", "plain", "lowered", "lowered"]
    assert list(result.positions) == [0, 3, 4, 6]
    assert [(each.position, each.status) for each in result.rejections] == [
        (1, 413),
        (2, 400),
        (5, 413),
    ]


def test_originals_are_kept_of_lines_that_were_trimmed_only() -> None:
    lines = [b"x\n", b'{"stamp":1}\n', b'{"lower":2}\n', b"{}\n", b'{"lower":3}\n']
    assert parse(lines[1:4], 0, route, amend_or_refuse, SHORT_BYTES).originals == {
        1: b'{"lower":2}\n'
    }
    assert parse(lines, 0, route, amend_or_refuse, SHORT_BYTES).originals == {
        1: b'{"lower":2}\n',
        3: b'{"lower":3}\n',
    }

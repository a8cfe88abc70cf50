"""Bodies to lines: the bytes of each document as they were sent."""

import pytest

from ingest.errors import MalformedRequest
from ingest.splitter import split_json, split_lines


@pytest.mark.parametrize(
    ("window", "lines"),
    [
        (b"", []),
        (b"{}\n", [b"{}\n"]),
        (b"{}", [b"{}\n"]),
        (b"{}\r\n{}\r\n", [b"{}\r\n", b"{}\r\n"]),
        (b"{}\r\n{}", [b"{}\r\n", b"{}\n"]),
        (b"a\n\n\nb\n", [b"a\n", b"\n", b"\n", b"b\n"]),
        (b"\n", [b"\n"]),
        (
            b"a\rb\x0bc\x0cd\x1ce\xc2\x85f\xe2\x80\xa8g\n",
            [b"a\rb\x0bc\x0cd\x1ce\xc2\x85f\xe2\x80\xa8g\n"],
        ),
    ],
)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_lines_end_at_line_feeds_only(window: bytes, lines: list[bytes], kind: type) -> None:
    assert split_lines(kind(window)) == lines


RAW = [
    b'{"n":18446744073709551616}',
    b'{"n":-0.0,"e":1e5,"E":1E+5,"d":0.10000000000000000000000000001}',
    b'{"b":1,"a":2,"b":3}',
    b'{"s":"\\u00e9\\/\\ud83d\\ude00\\n \xc3\xa9"}',
    b'{"s":"[{\\"a\\":1}, {}]"}',
    b'{ "a" :\t[ 1 , { } ] }',
    b"{}",
]


@pytest.mark.parametrize("document", RAW)
def test_a_single_object_keeps_its_bytes(document: bytes) -> None:
    assert split_json(b" \r\n\t" + document + b"\r\n ") == [document + b"\n"]


def test_elements_of_an_array_keep_their_bytes() -> None:
    assert split_json(b" [ " + b" ,\n ".join(RAW) + b" ] ") == [each + b"\n" for each in RAW]


def test_elements_need_not_be_objects_here() -> None:
    array = b'[1, "x", null, [2, 3], true, 1.50]'
    assert split_json(array) == [b"1\n", b'"x"\n', b"null\n", b"[2, 3]\n", b"true\n", b"1.50\n"]


PRETTY = b'{\n  "a": "x\\ny",\r\n\t"b": [\n1,\r2\n]\n}'
FLAT = b'{   "a": "x\\ny",  \t"b": [ 1, 2 ] }\n'


def test_line_breaks_between_tokens_become_spaces() -> None:
    assert split_json(PRETTY) == [FLAT]
    assert split_json(b"[\n" + PRETTY + b",\n" + PRETTY + b"\n]") == [FLAT, FLAT]


@pytest.mark.parametrize("line_break", [b"\n", b"\r", b"\r\n"])
def test_a_raw_line_break_in_a_string_is_not_made_valid(line_break: bytes) -> None:
    document = b'{"a":"x' + line_break + b'y"}'
    assert split_json(document) == [document + b"\n"]
    with pytest.raises(MalformedRequest):
        split_json(b"[" + document + b"]")


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n\t ", b"[]", b" [ \n ] "])
def test_a_body_without_documents_has_no_lines(body: bytes) -> None:
    assert split_json(body) == []


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[", id="open"),
        pytest.param(b'[{"a":1}', id="not closed"),
        pytest.param(b'[{"a":1}] x', id="more behind"),
        pytest.param(b'[{"a":1},]', id="trailing comma"),
        pytest.param(b'[{"a":1} {"a":2}]', id="no comma"),
        pytest.param(b'[{"a":NaN}]', id="NaN"),
        pytest.param(b'[{"a":01}]', id="leading zero"),
        pytest.param(b'[{"a":"\t"}]', id="control character"),
        pytest.param(b'[{"a":"\\x"}]', id="bad escape"),
        pytest.param(b"[" * 100_000, id="deep, open"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep"),
    ],
)
def test_a_broken_array_refuses_the_request(body: bytes) -> None:
    with pytest.raises(MalformedRequest) as refusal:
        split_json(body)
    assert refusal.value.kind == "malformed_json"


def test_a_broken_single_value_is_left_to_the_parser() -> None:
    assert split_json(b'{"a":\n') == [b'{"a":\n']
    assert split_json(b'\xef\xbb\xbf{"a":\n1}') == [b'\xef\xbb\xbf{"a":\n1}\n']

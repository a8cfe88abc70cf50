"""What is oversized is cut out of a line; every other byte stays, and a note says what happened."""

from typing import Any

import orjson
import pytest

from ingest.trimmer.composition import Composed
from ingest.trimmer.field_rules import FieldRules, Oversize, OversizeAction
from ingest.trimmer.trimmer import Trimmed, TrimmedField, trim

LIMIT = 32_766
KEYWORD = {"type": "keyword"}
MARKER = {
    "properties": {
        "oversize": {
            "properties": {
                "field": {"type": "keyword", "ignore_above": 1024},
                "action": {"type": "keyword", "ignore_above": 1024},
                "bytes": {"type": "long"},
                "kept": {"type": "long"},
            }
        }
    }
}


def rules_of(
    properties: dict[str, Any], oversize: tuple[Oversize, ...] = (), **settings: Any
) -> FieldRules:
    return FieldRules(Composed("t", {"properties": properties}, settings), oversize, "ingest")


def policy(field: str, action: OversizeAction) -> tuple[Oversize, ...]:
    return (Oversize(field=field, action=action),)


def trimmed(line: bytes, rules: FieldRules) -> Trimmed:
    result = trim(line, orjson.loads(line), rules)
    assert result is not None
    return result


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        pytest.param(b"a" * (LIMIT + 1), b"a" * LIMIT, id="ascii"),
        pytest.param("é".encode() * 16_384, "é".encode() * 16_383, id="2 bytes"),
        pytest.param("€".encode() * 10_923, "€".encode() * 10_922, id="3 bytes"),
        pytest.param("😀".encode() * 8_192, "😀".encode() * 8_191, id="4 bytes"),
        pytest.param(b"ab" + "€".encode() * 10_922, b"ab" + "€".encode() * 10_921, id="shifted"),
        pytest.param(b"\\u00e9" * 16_384, b"\\u00e9" * 16_383, id="escaped 2 bytes"),
        pytest.param(b"\\u20ac" * 10_923, b"\\u20ac" * 10_922, id="escaped 3 bytes"),
        pytest.param(b"\\ud83d\\ude00" * 8_192, b"\\ud83d\\ude00" * 8_191, id="surrogate pairs"),
        pytest.param(b"\\n" * 32_767, b"\\n" * LIMIT, id="line breaks"),
        pytest.param(b"\\\\" * 32_767, b"\\\\" * LIMIT, id="backslashes"),
        pytest.param(b'\\"' * 32_767, b'\\"' * LIMIT, id="quotes"),
        pytest.param(b'\\\\\\"' * 16_384, b'\\\\\\"' * 16_383, id="escaped backslash and quote"),
        pytest.param(b"a" * LIMIT + b"\\ud83d\\ude00", b"a" * LIMIT, id="pair at the limit"),
        pytest.param(
            b"a" * (LIMIT - 4) + b"\\ud83d\\ude00b",
            b"a" * (LIMIT - 4) + b"\\ud83d\\ude00",
            id="pair before the limit",
        ),
        pytest.param(b"a" * LIMIT + b"\\\\", b"a" * LIMIT, id="backslash at the limit"),
        pytest.param(b"\\\\" + b"a" * LIMIT, b"\\\\" + b"a" * (LIMIT - 1), id="backslash first"),
    ],
)
def test_a_value_is_cut_between_characters(content: bytes, kept: bytes) -> None:
    before, after = b'{ "n": 1e5, "tag" : "', b'" ,"big":18446744073709551616}'
    result = trimmed(before + content + after, rules_of({"tag": KEYWORD}))
    assert result.line == before + kept + after
    assert result.fields == (
        TrimmedField(
            "tag",
            "trim",
            len(orjson.loads(b'"%b"' % content).encode()),
            len(orjson.loads(b'"%b"' % kept).encode()),
        ),
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a" * LIMIT, id="ascii"),
        pytest.param("€".encode() * 10_922, id="3 bytes"),
        pytest.param(b"\\u20ac" * 10_922, id="escapes, 65,532 raw bytes"),
        pytest.param(b"\\n" * LIMIT, id="line breaks"),
    ],
)
def test_a_value_of_just_the_limit_is_left_alone(content: bytes) -> None:
    line = b'{"tag":"%b","n":1}' % content
    assert trim(line, orjson.loads(line), rules_of({"tag": KEYWORD})) is None


@pytest.mark.parametrize(
    ("document", "path"),
    [
        pytest.param({"tag": "a" * 40_000}, "tag", id="top level"),
        pytest.param({"a": {"b": {"tag": "a" * 40_000}}}, "a.b.tag", id="objects"),
        pytest.param({"a.b": {"tag": "a" * 40_000}}, "a.b.tag", id="dotted and object"),
        pytest.param({"a.b.tag": "a" * 40_000}, "a.b.tag", id="dotted"),
        pytest.param({"a": [{"x": 1}, {"b": [[{"tag": "a" * 40_000}]]}]}, "a.b.tag", id="arrays"),
    ],
)
def test_a_field_is_found_however_it_is_written(document: dict[str, Any], path: str) -> None:
    properties = {"tag": KEYWORD, "a": {"properties": {"b": {"properties": {"tag": KEYWORD}}}}}
    result = trimmed(orjson.dumps(document), rules_of(properties))
    assert [field.field for field in result.fields] == [path]
    assert b'"' + b"a" * LIMIT + b'"' in result.line


def test_only_the_oversized_elements_of_an_array_are_cut() -> None:
    line = orjson.dumps({"tags": ["x", "a" * 40_000, ["b" * 40_000], 7, "c" * LIMIT]})
    result = trimmed(line, rules_of({"tags": KEYWORD}))
    expected = ["x", "a" * LIMIT, ["b" * LIMIT], 7, "c" * LIMIT]
    assert result.line == orjson.dumps({"tags": expected})


def test_text_and_unmapped_fields_are_left_alone() -> None:
    line = orjson.dumps({"message": "a" * 40_000, "other": "b" * 40_000})
    rules = rules_of({"message": {"type": "text"}, "tag": KEYWORD})
    assert trim(line, orjson.loads(line), rules) is None


@pytest.mark.parametrize(
    ("pattern", "is_cut"),
    [("tag", True), ("t*", True), ("*", True), ("tags", False), ("a.tag", False)],
)
def test_a_policy_counts_where_its_pattern_matches(pattern: str, is_cut: bool) -> None:
    rules = rules_of({"tag": KEYWORD}, policy(pattern, "drop_field"))
    result = trimmed(orjson.dumps({"tag": "a" * 40_000}), rules)
    assert [field.action for field in result.fields] == ["drop_field" if is_cut else "trim"]


def test_the_first_matching_policy_wins() -> None:
    rules = rules_of({"tag": KEYWORD}, policy("tag", "dead_letter") + policy("*", "drop_field"))
    assert trimmed(orjson.dumps({"tag": "a" * 40_000}), rules).dead_letter


def test_a_field_whose_policy_is_ignore_above_stays_whole() -> None:
    rules = rules_of({"tag": KEYWORD}, policy("tag", "ignore_above"))
    line = orjson.dumps({"tag": "a" * 40_000})
    assert trim(line, orjson.loads(line), rules) is None


def test_a_dead_letter_keeps_its_line_and_says_why_without_the_content() -> None:
    rules = rules_of({"tag": KEYWORD, "free": KEYWORD}, policy("tag", "dead_letter"))
    line = orjson.dumps({"free": "x" * 40_000, "tag": "y" * 40_000})
    assert trimmed(line, rules) == Trimmed(
        line, (), "field tag: 40000 bytes, of which one term can hold 32766"
    )


LONG = b'"' + b"a" * 40_000 + b'"'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b'{"k":%b}', b"{}", id="alone"),
        pytest.param(b'{ "k" : %b }', b"{ }", id="alone with spaces"),
        pytest.param(b'{"k":%b,"a":1}', b'{"a":1}', id="first"),
        pytest.param(b'{"a":1,"k":%b}', b'{"a":1}', id="last"),
        pytest.param(b'{"a":1 , "k":%b }', b'{"a":1  }', id="last with spaces"),
        pytest.param(b'{"a":1,"k":%b,"b":2}', b'{"a":1,"b":2}', id="middle"),
        pytest.param(b'{"k":%b,"k2":%b}', b"{}", id="all"),
        pytest.param(b'{"a":1,"k":%b,"k2":%b}', b'{"a":1}', id="the last two"),
        pytest.param(b'{"k":%b,"k2":%b,"a":1}', b'{"a":1}', id="the first two"),
        pytest.param(b'{"k":%b,"a":1,"k2":%b}', b'{"a":1}', id="first and last"),
        pytest.param(b'{"k":[%b]}', b'{"k":[]}', id="only element"),
        pytest.param(b'{"k":["x",%b,%b]}', b'{"k":["x"]}', id="last elements"),
        pytest.param(b'{"k":[%b,"x",%b,"y"]}', b'{"k":["x","y"]}', id="alternate elements"),
    ],
)
def test_a_dropped_field_goes_with_its_comma(line: bytes, expected: bytes) -> None:
    rules = rules_of({"k": KEYWORD, "k2": KEYWORD}, policy("k*", "drop_field"))
    assert trimmed(line.replace(b"%b", LONG), rules).line == expected


@pytest.mark.parametrize(
    ("value_bytes", "kept"),
    [(LIMIT - 4, None), (LIMIT - 3, LIMIT - 4), (40_000, LIMIT - 4)],
    ids=["just fits", "one too many", "far too long"],
)
def test_a_flattened_value_leaves_room_for_its_key(value_bytes: int, kept: int | None) -> None:
    line = orjson.dumps({"labels": {"a": {"b": "v" * value_bytes}}, "n": "x" * 10})
    result = trim(line, orjson.loads(line), rules_of({"labels": {"type": "flattened"}}))
    assert (result.fields[0].kept if result else None) == kept


@pytest.mark.parametrize("value", ["v", 7, True], ids=["string", "number", "boolean"])
def test_a_flattened_key_that_fills_a_term_makes_a_dead_letter(value: Any) -> None:
    line = orjson.dumps({"labels": {"k" * LIMIT: value}})
    result = trimmed(line, rules_of({"labels": {"type": "flattened"}}))
    assert result.dead_letter is not None
    assert len(result.dead_letter) < 400


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        pytest.param("Ⱥ" * 10_923, "Ⱥ" * 10_922, id="U+023A grows from 2 to 3 bytes"),
        pytest.param("aȺ" * 10_000, "aȺ" * 8_191 + "a", id="mixed"),
        pytest.param("a" * 32_767, "a" * 32_766, id="ascii"),
    ],
)
def test_a_normalizer_that_lengthens_is_reckoned_with(content: str, kept: str) -> None:
    rules = rules_of({"tag": KEYWORD | {"normalizer": "lowercase"}})
    assert not rules.short_lines_are_safe
    assert trimmed(orjson.dumps({"tag": content}), rules).line == orjson.dumps({"tag": kept})


def test_a_normalizer_that_shortens_is_reckoned_with() -> None:
    line = orjson.dumps({"tag": "K" * 20_000})  # KELVIN SIGN: 3 bytes become 1
    rules = rules_of({"tag": KEYWORD | {"normalizer": "lowercase"}})
    assert trim(line, orjson.loads(line), rules) is None


def test_ignore_above_counts_utf16_units_not_bytes() -> None:
    rules = rules_of({"tag": KEYWORD | {"ignore_above": 12_000}})
    left_out = orjson.dumps({"tag": "a" * 40_000})
    assert trim(left_out, orjson.loads(left_out), rules) is None
    let_through = orjson.dumps({"tag": "€" * 12_000})
    assert trimmed(let_through, rules).line == orjson.dumps({"tag": "€" * 10_922})
    pairs = orjson.dumps({"tag": "😀" * 12_000})
    assert trim(pairs, orjson.loads(pairs), rules) is None


NOTE = b'{"field":"k","action":"trim","bytes":40000,"kept":32766}'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b'{"k":L}', b'{"ingest":{"oversize":[N]},"k":S}', id="no ingest"),
        pytest.param(
            b'{"k":L,"ingest":{"a":1}}',
            b'{"ingest.oversize":[N],"k":S,"ingest":{"a":1}}',
            id="object",
        ),
        pytest.param(b'{"ingest":"x","k":L}', b'{"ingest":"x","k":S}', id="a string"),
        pytest.param(b'{"ingest":null,"k":L}', b'{"ingest":null,"k":S}', id="null"),
        pytest.param(b'{"ingest":[{}],"k":L}', b'{"ingest":[{}],"k":S}', id="an array"),
        pytest.param(
            b'{"ingest":{"oversize":1},"k":L}', b'{"ingest":{"oversize":1},"k":S}', id="taken"
        ),
        pytest.param(
            b'{"ingest.oversize":[],"k":L}', b'{"ingest.oversize":[],"k":S}', id="taken, dotted"
        ),
        pytest.param(
            b'{"ingest":{"oversize.x":1},"k":L}',
            b'{"ingest":{"oversize.x":1},"k":S}',
            id="taken, dotted inside",
        ),
    ],
)
def test_the_note_is_added_where_it_can_not_clash(line: bytes, expected: bytes) -> None:
    short = b'"' + b"a" * LIMIT + b'"'
    rules = rules_of({"k": KEYWORD, "ingest": MARKER})
    expected = expected.replace(b"S", short).replace(b"N", NOTE)
    assert trimmed(line.replace(b"L", LONG), rules).line == expected


def test_the_note_takes_no_comma_into_an_object_left_empty() -> None:
    rules = rules_of({"k": KEYWORD, "ingest": MARKER}, policy("k", "drop_field"))
    result = trimmed(b'{"k":' + LONG + b"}", rules)
    note = [{"field": "k", "action": "drop_field", "bytes": 40_000, "kept": 0}]
    assert orjson.loads(result.line) == {"ingest": {"oversize": note}}


NUMBERS = b":[%b1]," % (b"1," * 20_000)
QUOTES = b'\\"' * 33_000


@pytest.mark.parametrize(
    ("line", "cut"),
    [
        pytest.param(b'{"k":["x",L,"\\"x",M]}', b'{"k":["x",S,"\\"x",T]}', id="elements"),
        pytest.param(b'{"text":L,"k":L}', b'{"text":L,"k":S}', id="the same text elsewhere"),
        pytest.param(
            b'{"text":"\\u0061%b","k":L}' % (b"a" * 39_999),
            b'{"text":"\\u0061%b","k":S}' % (b"a" * 39_999),
            id="the same text elsewhere, written in another way",
        ),
        pytest.param(b'{"text":"\\"a","k":M}', b'{"text":"\\"a","k":T}', id="quotes"),
        pytest.param(b'{"text":"L","k":L}', b'{"text":"L","k":S}', id="inside another text"),
        pytest.param(
            b'{"n"%b"k":"%b"}' % (NUMBERS, NUMBERS),
            b'{"n"%b"k":"%b"}' % (NUMBERS, NUMBERS[:LIMIT]),
            id="what stands between two texts",
        ),
    ],
)
def test_a_text_is_not_taken_for_another(line: bytes, cut: bytes) -> None:
    rules = rules_of({"k": KEYWORD, "text": {"type": "text"}})
    tokens = {b'"L"': b'"%b"' % LONG.replace(b'"', b'\\"'), b"L": LONG, b"M": b'"%b"' % QUOTES}
    tokens |= {b"S": b'"' + b"a" * LIMIT + b'"', b"T": b'"%b"' % QUOTES[: 2 * LIMIT]}
    for token, written in tokens.items():
        line, cut = line.replace(token, written), cut.replace(token, written)
    assert trimmed(line, rules).line == cut

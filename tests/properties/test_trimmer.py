"""Whatever is sent: nothing stays too long, and nothing else changes."""

import json
import re
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from ingest.trimmer.composition import Composed
from ingest.trimmer.field_rules import FieldRules, Oversize
from ingest.trimmer.json_spans import long_leaves
from ingest.trimmer.json_text import prefix_of
from ingest.trimmer.trimmer import trim

LIMIT = 32_766
LONG = 3000  # bytes
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[^"]++', re.DOTALL)
MAPPINGS = {
    "dynamic_templates": [{"s": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}}],
    "properties": {"flat": {"type": "flattened"}, "message": {"type": "text"}},
}
RULES = FieldRules(Composed("t", MAPPINGS, {}), [], "ingest")
DROPPING = FieldRules(
    Composed("t", MAPPINGS, {}), [Oversize(field="*", action="drop_field")], "ingest"
)

NAMES = st.one_of(
    st.sampled_from(["a", "b", "a.b", "flat", "message", "ingest", 'q"', "\\", "é", "x" * 2000]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
)
SNIPPETS = st.text(
    st.one_of(
        st.sampled_from('a"\\\n\t\x00/<+é€😀{}[],: '), st.characters(exclude_categories=["Cs"])
    ),
    min_size=1,
    max_size=12,
)


@st.composite
def long_strings(draw: st.DrawFn) -> str:
    """Around the limit in UTF-8 bytes, from a repeated snippet, shifted by a prefix."""
    snippet = draw(SNIPPETS)
    size = draw(st.sampled_from([LONG, LIMIT - 12, LIMIT, LIMIT + 1, 40_000]))
    text = draw(st.sampled_from(["", "x", "\\", '"', "€"])) + snippet * (
        size // len(snippet.encode()) + 1
    )
    cut = text.encode()[: size + draw(st.integers(-3, 3))]
    return cut.decode(errors="ignore") + draw(st.sampled_from(["", "\\", '"', "😀"]))


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
LEAVES = st.one_of(SCALARS, st.text(st.characters(exclude_categories=["Cs"])), long_strings())


class Members(list[tuple[str, Any]]):
    """An object as its members in order."""


def _name(member: tuple[str, Any]) -> str:
    return member[0]


VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(st.tuples(NAMES, inner), max_size=4, unique_by=_name).map(Members),
    ),
    max_leaves=6,
)
DOCUMENTS = st.lists(st.tuples(NAMES, VALUES), max_size=5, unique_by=_name).map(Members)


STYLES = ["plain", "html", "ascii", "slashes", "upper", "escaped", "mixed"]


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A document as JSON, its spaces and escapes as some producer or other writes them."""
    style = draw(st.sampled_from(STYLES))
    space = draw(st.sampled_from(["", " ", " \t"]))
    return _written(draw(DOCUMENTS), style, space).encode()


def _written(value: Any, style: str, space: str) -> str:
    if isinstance(value, Members):
        members = (
            f"{_quoted(name, style)}{space}:{space}{_written(each, style, space)}"
            for name, each in value
        )
        return "{" + space + f"{space},{space}".join(members) + space + "}"
    if isinstance(value, list):
        elements = (_written(each, style, space) for each in value)
        return "[" + space + f"{space},{space}".join(elements) + space + "]"
    return _quoted(value, style) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str, style: str) -> str:
    if style == "mixed":
        half = len(text) // 2
        return _quoted(text[:half], "escaped")[:-1] + _quoted(text[half:], "plain")[1:]
    if style in ("plain", "html"):
        plain = json.dumps(text, ensure_ascii=False)
        return plain.replace("<", "\\u003c") if style == "html" else plain
    if style in ("ascii", "slashes"):
        written = json.dumps(text)
        return written.replace("/", "\\/") if style == "slashes" else written
    if style == "upper":
        return f'"{"".join(map(_in_upper_digits, text))}"'
    units = text.encode("utf-16-be").hex()
    return '"' + "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)) + '"'


def _in_upper_digits(character: str) -> str:
    if character in "\"'&+<>`":
        return f"\\u{ord(character):04X}"
    written = json.dumps(character)[1:-1]
    return written if len(written) < 6 else written.upper().replace("\\U", "\\u")


def _strings(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        below = (_strings(each, f"{path}.{name}" if path else name) for name, each in value.items())
        return [pair for pairs in below for pair in pairs]
    if isinstance(value, list):
        return [pair for each in value for pair in _strings(each, path)]
    return [(path, value)] if isinstance(value, str) else []


def _limit(path: str) -> int | None:
    root, _, key = path.partition(".")
    if root == "message":
        return None
    if root == "flat":
        return LIMIT - len(key.encode()) - 1 if key else None
    return LIMIT


@given(lines())
def test_nothing_stays_too_long(line: bytes) -> None:
    result = trim(line, orjson.loads(line), RULES)
    for path, text in _strings(orjson.loads(result.line if result else line)):
        limit = _limit(path)
        assert limit is None or len(text.encode()) <= limit


@given(lines())
def test_only_the_ends_of_long_strings_are_cut(line: bytes) -> None:
    result = trim(line, orjson.loads(line), RULES)
    before, after = TOKEN.findall(line), TOKEN.findall(result.line if result else line)
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        if old == new:
            continue
        assert old.startswith(new[:-1])
        full, kept = orjson.loads(old), orjson.loads(new)
        following = full[len(kept)]
        room = len(kept.encode()) + len(following.encode())
        assert room + 1 + 6000 > LIMIT  # names of flattened keys are at most 2 × 2000 bytes here
        assert full.startswith(kept)


@given(lines())
def test_a_keyword_keeps_all_that_fits(line: bytes) -> None:
    result = trim(line, orjson.loads(line), RULES)
    if result is None:
        return
    before = dict(_strings(orjson.loads(line)))
    for path, kept in dict(_strings(orjson.loads(result.line))).items():
        limit = _limit(path)
        if limit is not None and path in before:
            full = before[path]
            assert kept == full.encode()[:limit].decode(errors="ignore")


@given(lines(), st.sampled_from([RULES, DROPPING]))
def test_a_second_look_finds_nothing_more(line: bytes, rules: FieldRules) -> None:
    result = trim(line, orjson.loads(line), rules)
    if result is not None:
        assert trim(result.line, orjson.loads(result.line), rules) is None


@given(lines())
def test_dropping_leaves_a_document_without_what_was_too_long(line: bytes) -> None:
    result = trim(line, orjson.loads(line), DROPPING)
    kept = json.loads(result.line if result else line, object_pairs_hook=Members)
    assert kept == _without_long(json.loads(line, object_pairs_hook=Members), "")


def _without_long(value: Any, path: str) -> Any:
    if isinstance(value, Members):
        named = [(name, each, f"{path}.{name}" if path else name) for name, each in value]
        return Members(
            (name, _without_long(each, below))
            for name, each, below in named
            if not _is_too_long(each, below)
        )
    if isinstance(value, list):
        return [_without_long(each, path) for each in value if not _is_too_long(each, path)]
    return value


def _is_too_long(value: Any, path: str) -> bool:
    limit = _limit(path)
    return isinstance(value, str) and limit is not None and len(value.encode()) > limit


@given(lines())
def test_every_long_string_is_found_with_its_path_and_place(line: bytes) -> None:
    leaves = list(long_leaves(line, orjson.loads(line), LONG, lambda path: True))
    assert all(
        leaf.text == orjson.loads(line[leaf.start : leaf.end]) for leaf in leaves if leaf.text
    )
    found = [(leaf.path, leaf.text) for leaf in leaves]
    long = _long_strings(json.loads(line, object_pairs_hook=Members), "")
    assert [pair for pair in found if pair in long] == long


def _long_strings(value: Any, path: str) -> list[tuple[str, str]]:
    if isinstance(value, Members):
        below = (_long_strings(each, f"{path}.{name}" if path else name) for name, each in value)
        return [pair for pairs in below for pair in pairs]
    if isinstance(value, list):
        return [pair for each in value for pair in _long_strings(each, path)]
    is_long = isinstance(value, str) and len(value.encode()) > LONG
    return [(path, value)] if is_long else []


@given(
    st.lists(SNIPPETS, max_size=8),
    st.sampled_from(STYLES),
    st.integers(0, 100),
)
def test_a_prefix_is_the_longest_that_fits(snippets: list[str], style: str, room: int) -> None:
    text = "".join(snippets)
    content, size = prefix_of(_quoted(text, style)[1:-1].encode(), room)
    kept = orjson.loads(b'"%b"' % content)
    assert kept == text.encode()[:room].decode(errors="ignore")
    assert size == len(kept.encode())

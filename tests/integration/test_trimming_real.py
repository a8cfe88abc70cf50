"""A real node indexes every trimmed line, and refuses each of those lines as they were."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
from elasticsearch import Elasticsearch

from ingest.trimmer.composition import Composed, flat_settings
from ingest.trimmer.field_rules import FieldRules
from ingest.trimmer.trimmer import trim

KEYWORD = {"type": "keyword"}
LIMIT = 32_766

MAPPINGS: dict[str, Any] = {
    "dynamic_templates": [
        {"labels": {"path_match": "labels.*", "mapping": KEYWORD}},
        {
            "bags": {
                "match_mapping_type": "object",
                "match": "bag*",
                "mapping": {"type": "flattened"},
            }
        },
        {"by_name": {"match": "copied_*", "mapping": {"type": "text", "copy_to": "g_{name}"}}},
    ],
    "properties": {
        "keyword": KEYWORD,
        "above_8191": KEYWORD | {"ignore_above": 8191},
        "above_10922": KEYWORD | {"ignore_above": 10_922},
        "above_12000": KEYWORD | {"ignore_above": 12_000},
        "lowercase": KEYWORD | {"normalizer": "lowercase"},
        "only_indexed": KEYWORD | {"doc_values": False},
        "only_doc_values": KEYWORD | {"index": False},
        "only_stored": KEYWORD | {"index": False, "doc_values": False, "store": True},
        "in_source_only": KEYWORD | {"index": False, "doc_values": False},
        "text": {"type": "text"},
        "one_token": {"type": "text", "analyzer": "keyword"},
        "multi": {"type": "text", "fields": {"raw": KEYWORD}},
        "safe_multi": {"type": "text", "fields": {"raw": KEYWORD | {"ignore_above": 256}}},
        "copied": {"type": "text", "copy_to": ["text", "keyword"]},
        "copied_twice": {"type": "text", "copy_to": "copied"},
        "ip": {"type": "ip", "ignore_malformed": True},
        "flat": {"type": "flattened"},
        "flat_above": {"type": "flattened", "ignore_above": 8191},
        "flat_in_source_only": {"type": "flattened", "index": False, "doc_values": False},
        "off": {"type": "object", "enabled": False},
        "fixed": {"type": "object", "dynamic": False},
        "nested": {"type": "nested", "properties": {"keyword": KEYWORD}},
        "object": {"properties": {"keyword": KEYWORD}},
        "g_copied_dynamic": KEYWORD,
    },
}

CUT = (
    "keyword",
    "lowercase",
    "only_indexed",
    "only_doc_values",
    "only_stored",
    "one_token",
    "multi",
    "copied",
    "labels.dynamic",
    "copied_dynamic",
    "object.keyword",
)
LEFT_WHOLE = (
    "above_8191",
    "above_10922",
    "in_source_only",
    "text",
    "safe_multi",
    "copied_twice",
    "ip",
    "unmapped",
    "off.anything",
    "fixed.anything",
)
FLAT = ("flat.key", "bag_of.key", "flat.two.keys")
CHARACTERS = {"1 byte": "a", "2 bytes": "é", "3 bytes": "€", "4 bytes": "😀", "line break": "\n"}


@pytest.fixture(scope="module")
def client(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_url, request_timeout=60, max_retries=0) as client:
        yield client


class Index:
    """An index of a mapping, and the rules that were made from the same mapping."""

    def __init__(
        self,
        client: Elasticsearch,
        name: str,
        mappings: dict[str, Any],
        settings: dict[str, Any] | None = None,
    ):
        self._client = client
        self._name = name
        client.indices.create(index=name, mappings=mappings, settings=settings)
        self.rules = FieldRules(
            Composed(name, mappings, flat_settings(settings or {})), [], "ingest"
        )

    def refused(self, lines: list[bytes]) -> list[str | None]:
        """For each line why it was refused, or None: it is indexed."""
        if not lines:
            return []
        operations: list[Any] = []
        for line in lines:
            operations += ({"create": {}}, line)
        answer = self._client.bulk(index=self._name, operations=operations)
        errors = [item["create"].get("error") for item in answer["items"]]
        return [_deepest(error)[:200] if error else None for error in errors]

    def cuts(self, *lines: bytes) -> list[bool]:
        """Sends the trimmed lines, which must be indexed, and those that were cut as they were."""
        results = [trim(line, orjson.loads(line), self.rules) for line in lines]
        assert not any(result and result.dead_letter for result in results)
        trimmed = [
            result.line if result else line for line, result in zip(lines, results, strict=True)
        ]
        assert self.refused(trimmed) == [None] * len(lines)
        cut = [line for line, result in zip(lines, results, strict=True) if result]
        assert all("immense" in (reason or "") for reason in self.refused(cut))
        return [result is not None for result in results]


@pytest.fixture(scope="module")
def index(client: Elasticsearch) -> Index:
    """An index of `MAPPINGS` for many tests; none looks at what another has put there."""
    return Index(client, f"test-{uuid4().hex}", MAPPINGS)


def _deepest(error: dict[str, Any]) -> str:
    while "caused_by" in error and "immense" not in error["reason"]:
        error = error["caused_by"]
    return str(error["reason"])


def as_utf8(document: Any) -> bytes:
    return orjson.dumps(document)


def as_ascii(document: Any) -> bytes:
    return json.dumps(document).encode()


def document_of(path: str, value: Any) -> dict[str, Any]:
    names = path.split(".")
    for name in reversed(names[1:]):
        value = {name: value}
    return {names[0]: value}


def text_of(character: str, size: int) -> str:
    """A text of exactly `size` UTF-8 bytes."""
    count, rest = divmod(size, len(character.encode()))
    return "x" * rest + character * count


@pytest.mark.parametrize("write", [as_utf8, as_ascii], ids=["utf-8", "escapes"])
@pytest.mark.parametrize("character", CHARACTERS.values(), ids=CHARACTERS.keys())
def test_exactly_what_would_be_refused_is_cut(
    index: Index, character: str, write: Callable[[Any], bytes]
) -> None:
    paths = CUT + LEFT_WHOLE
    for size in (LIMIT - 1, LIMIT, LIMIT + 1):
        text = text_of(character, size)
        cuts = index.cuts(*(write(document_of(path, text)) for path in paths))
        expected = CUT if size > LIMIT else ()
        assert [path for path, is_cut in zip(paths, cuts, strict=True) if is_cut] == list(expected)


@pytest.mark.parametrize("character", CHARACTERS.values(), ids=CHARACTERS.keys())
@pytest.mark.parametrize("path", FLAT)
def test_a_flattened_value_is_cut_exactly_where_its_key_leaves_no_room(
    index: Index, character: str, path: str
) -> None:
    key_bytes = len(path.partition(".")[2]) + 1
    sizes = [size - key_bytes for size in (LIMIT - 1, LIMIT, LIMIT + 1)]
    lines = [as_utf8(document_of(path, [text_of(character, size)])) for size in sizes]
    assert index.cuts(*lines) == [False, False, True]


@pytest.mark.parametrize("path", ["flat_above.key", "flat_in_source_only.key"])
def test_a_flattened_value_that_is_not_indexed_stays_whole(index: Index, path: str) -> None:
    assert index.cuts(as_utf8(document_of(path, "a" * 40_000))) == [False]


def test_a_flattened_key_that_is_too_long_is_not_sent(index: Index) -> None:
    line = as_utf8({"flat": {"k" * LIMIT: "v"}})
    result = trim(line, orjson.loads(line), index.rules)
    assert result is not None
    assert result.dead_letter is not None
    assert index.refused([line]) != [None]
    fitting = as_utf8({"flat": {"k" * (LIMIT - 2): "v"}})
    assert index.cuts(fitting) == [False]


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"object.keyword": "a" * 40_000}, id="dotted"),
        pytest.param({"object": {"keyword": "a" * 40_000}}, id="object"),
        pytest.param({"object": [{"keyword": ["x", ["a" * 40_000]]}]}, id="arrays in arrays"),
        pytest.param({"nested": [{"keyword": "x"}, {"keyword": "a" * 40_000}]}, id="nested"),
        pytest.param({"flat.a.b": "a" * 40_000}, id="dotted into flattened"),
        pytest.param({"labels.a": "a" * 40_000, "keyword": "b" * 40_000}, id="two fields"),
        pytest.param({"keyword": ['"\\' * 20_000, "\\" * 40_000]}, id="quotes and backslashes"),
        pytest.param({"above_12000": "€" * 12_000}, id="ignore_above that lets too much through"),
    ],
)
def test_a_value_is_found_wherever_it_stands(index: Index, document: dict[str, Any]) -> None:
    assert index.cuts(as_utf8(document)) == [True]


def test_a_value_that_its_normalizer_lengthens_is_cut_though_its_line_is_short(
    index: Index,
) -> None:
    assert not index.rules.short_lines_are_safe
    assert index.cuts(as_utf8({"lowercase": "Ⱥ" * 10_922})) == [False]
    assert index.cuts(as_utf8({"lowercase": "Ⱥ" * 10_923})) == [True]
    assert index.cuts(as_utf8({"lowercase": "K" * 32_766})) == [False]  # KELVIN SIGN shrinks
    assert index.cuts(as_utf8({"lowercase": "K" * 32_767})) == [True]
    assert index.cuts(as_utf8({"lowercase": "İ" * 32_766})) == [False]  # to one i, without a dot


@pytest.mark.parametrize(
    ("settings", "is_cut"),
    [
        pytest.param({"index.mapping.ignore_above": 8191}, False, id="ignore_above 8191"),
        pytest.param({"index": {"mapping.ignore_above": 40_000}}, True, id="ignore_above 40000"),
        pytest.param({"mode": "logsdb"}, False, id="logsdb"),
    ],
)
def test_settings_of_the_index_count(
    client: Elasticsearch, index_name: str, settings: dict[str, Any], is_cut: bool
) -> None:
    mappings = {"properties": {"@timestamp": {"type": "date"}, "f": KEYWORD}}
    index = Index(client, index_name, mappings, settings)
    line = as_utf8({"@timestamp": "2026-01-01T00:00:00Z", "f": "a" * 40_000})
    assert index.cuts(line) == [is_cut]


@pytest.fixture(scope="module")
def noting(client: Elasticsearch) -> Index:
    """An index with fields for the note of the trimmer, which takes no others."""
    note = {name: KEYWORD | {"ignore_above": 1024} for name in ("field", "action")}
    note |= {name: {"type": "long"} for name in ("bytes", "kept")}
    by = KEYWORD | {"ignore_above": 1024}
    mappings = {
        "dynamic": "strict",
        "properties": {
            "k": KEYWORD,
            "ingest": {"properties": {"by": by, "oversize": {"properties": note}}},
        },
    }
    return Index(client, f"test-{uuid4().hex}", mappings)


@pytest.mark.parametrize(
    "ingest",
    [
        pytest.param({}, id="none"),
        pytest.param({"ingest": {}}, id="an empty object"),
        pytest.param({"ingest": {"by": "x"}}, id="an object"),
        pytest.param({"ingest": None}, id="null"),
        pytest.param({"ingest.by": "x"}, id="a dotted name beside it"),
        pytest.param({"ingest.oversize.kept": 1}, id="a dotted name that is taken"),
        pytest.param({"ingest": {"oversize": {"kept": 1}}}, id="an object that is taken"),
        pytest.param({"ingest": [{"by": "x"}]}, id="an array"),
    ],
)
def test_the_note_makes_no_document_fail(noting: Index, ingest: dict[str, Any]) -> None:
    assert noting.rules.marker == "ingest"
    key = {"k": "a" * 40_000}
    assert noting.cuts(as_utf8(key | ingest), as_utf8(ingest | key)) == [True, True]


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b'{"keyword":"a","keyword":"b"}', id="top level"),
        pytest.param(b'{"object":{"keyword":"a","keyword":"b"}}', id="in an object"),
        pytest.param(b'{"nested":[{"keyword":"a","keyword":"b"}]}', id="nested"),
        pytest.param(b'{"flat":{"a":{"b":"a","b":"b"}}}', id="flattened"),
        pytest.param(b'{"unmapped":"a","unmapped":"b"}', id="unmapped"),
        pytest.param(b'{"off":{"a":"a","a":"b"}}', id="disabled"),
        pytest.param(b'{"fixed":{"a":"a","a":"b"}}', id="not dynamic"),
    ],
)
def test_equal_names_are_refused_whatever_they_hold(index: Index, line: bytes) -> None:
    """What the trimmer relies on: it looks only at the last of them."""
    (reason,) = index.refused([line])
    assert reason is not None
    assert "uplicate" in reason

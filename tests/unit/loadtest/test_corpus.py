"""The corpus is the same everywhere and each kind is what it says."""

import hashlib
import json
from collections.abc import Iterator

import pytest

from loadtest.corpus import KINDS, SERVICES, TERM_LIMIT_BYTES, Kind, body, documents

VALID: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind != "malformed")

# of 50 documents from seed 7; a change here makes older measurements not comparable
DIGESTS: dict[Kind, str] = {
    "logs": "b3c0e36e8871d306",
    "varied": "239670331ffe6873",
    "wide": "463bf0d037a97f22",
    "long_text": "f17c27e6c82589dd",
    "multibyte": "3a88f0ef54baf179",
    "oversized": "1654c985778b8285",
    "malformed": "475862011ba369f9",
}


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_the_same_on_every_python(kind: Kind) -> None:
    digest = hashlib.sha256(body(documents(kind, 7, 50))).hexdigest()[:16]
    assert digest == DIGESTS[kind]


def test_another_seed_gives_other_documents() -> None:
    assert documents("logs", 1, 20) != documents("logs", 2, 20)


def test_fewer_documents_are_the_first_of_more() -> None:
    assert documents("varied", 3, 40)[:15] == documents("varied", 3, 15)


@pytest.mark.parametrize("kind", VALID)
def test_every_line_is_one_json_object_without_line_breaks(kind: Kind) -> None:
    for line in documents(kind, 1, 30):
        assert b"\n" not in line
        assert isinstance(json.loads(line), dict)


def test_logs_take_415_bytes_on_average_from_8_services() -> None:
    lines = documents("logs", 5, 3_000)
    assert sum(map(len, lines)) / len(lines) == pytest.approx(415, abs=10)
    assert {json.loads(line)["service"]["name"] for line in lines} == set(SERVICES)


def test_varied_logs_reach_from_200_bytes_to_2_kilobytes() -> None:
    sizes = [len(line) for line in documents("varied", 5, 3_000)]
    assert 200 <= min(sizes) < 300
    assert 1_700 < max(sizes) <= 2_048


def test_wide_documents_have_100_fields() -> None:
    assert {len(json.loads(line)) for line in documents("wide", 5, 20)} == {100}


def test_multibyte_documents_hold_characters_of_2_3_and_4_bytes() -> None:
    text = b"".join(documents("multibyte", 5, 20)).decode()
    assert {len(character.encode()) for character in text} == {1, 2, 3, 4}


@pytest.mark.parametrize("kind", VALID)
def test_only_oversized_documents_hold_one_value_over_the_term_limit(kind: Kind) -> None:
    for line in documents(kind, 5, 25):
        sizes = [len(text.encode()) for text in texts(json.loads(line))]
        assert sum(size > TERM_LIMIT_BYTES for size in sizes) == (kind == "oversized")


def test_malformed_lines_are_no_json_objects_and_have_no_line_breaks() -> None:
    for line in documents("malformed", 5, 26):
        assert b"\n" not in line
        assert not is_object(line)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [([], b""), ([b"{}"], b"{}\n"), ([b"{}", b"[]"], b"{}\n[]\n")],
    ids=["none", "one", "two"],
)
def test_body_ends_every_line(lines: list[bytes], expected: bytes) -> None:
    assert body(lines) == expected


def texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from texts(member)
    elif isinstance(value, list):
        for element in value:
            yield from texts(element)


def is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line, parse_constant=refuse), dict)
    except ValueError:
        return False


def refuse(constant: str) -> None:
    raise ValueError(constant)

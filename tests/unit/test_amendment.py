"""The rare line that changes: what is put in or cut out, and not a byte more."""

from typing import Any

import orjson
import pytest

from ingest.amendment import Amended, Amendment, timestamp
from ingest.errors import DocumentRefused
from ingest.model import Target
from ingest.trimmer.composition import Composed
from ingest.trimmer.field_rules import FieldRules, Oversize, OversizeAction

STAMPED = Target("logs-x-default", "create", "assigned", b"", adds_timestamp=True)
PLAIN = Target("plain", "create", "assigned", b"")
NOW = 1_715_000_000.125
STAMP = b'"@timestamp":"2024-05-06T12:53:20.125Z"'
TERM_BYTES_MAX = 32_766


def rules(action: OversizeAction = "trim") -> FieldRules:
    mapping = {"properties": {"tag": {"type": "keyword"}, "message": {"type": "text"}}}
    oversize = [Oversize(field="tag", action=action)]
    return FieldRules(Composed("t", mapping, {}), oversize, "ingest")


def amended(
    line: bytes, target: Target = STAMPED, limit: int = 100_000, action: OversizeAction = "trim"
) -> Amended:
    amendment = Amendment(limit, lambda name: rules(action), lambda: NOW)
    document: dict[str, Any] = orjson.loads(line)
    return amendment.amend(line, document, target)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b"{}\n", b"{" + STAMP + b"}\n", id="empty"),
        pytest.param(b"{ }\r\n", b"{" + STAMP + b" }\r\n", id="white space"),
        pytest.param(b'{"n":1e5}\n', b"{" + STAMP + b',"n":1e5}\n', id="one member"),
        pytest.param(b' {\t"n":1}\n', b" {" + STAMP + b',\t"n":1}\n', id="space before"),
        pytest.param(
            b'{"a":{"@timestamp":1}}\n', b"{" + STAMP + b',"a":{"@timestamp":1}}\n', id="inner"
        ),
    ],
)
def test_a_missing_timestamp_is_put_in_front(line: bytes, expected: bytes) -> None:
    assert amended(line) == Amended(expected)
    orjson.loads(expected)


@pytest.mark.parametrize(
    "line", [b'{"@timestamp":null}\n', b'{"\\u0040timestamp":1}\n', b'{"a":1,"@timestamp":""}\n']
)
def test_a_timestamp_that_is_there_stays(line: bytes) -> None:
    assert amended(line).line is line


def test_other_targets_get_none() -> None:
    assert amended(b"{}\n", PLAIN).line == b"{}\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, b"1970-01-01T00:00:00.000Z"),
        (1_715_000_000.9999, b"2024-05-06T12:53:20.999Z"),
        (1_715_000_000.001, b"2024-05-06T12:53:20.001Z"),
    ],
)
def test_timestamps_are_utc_with_milliseconds(seconds: float, text: bytes) -> None:
    assert timestamp(seconds) == text


def test_a_document_over_the_limit_is_refused() -> None:
    line = b'{"message":"' + b"x" * 86 + b'"}\n'
    assert amended(line, PLAIN, limit=len(line)).line is line
    with pytest.raises(DocumentRefused, match=f"{len(line)} bytes are more than") as refusal:
        amended(line, PLAIN, limit=len(line) - 1)
    assert (refusal.value.type, refusal.value.status) == ("document_too_large", 413)


LONG = b'{"tag":"' + b"x" * 40_000 + b'","n":1e5}\n'


def test_an_oversized_field_is_trimmed_and_named() -> None:
    result = amended(LONG, PLAIN)
    content = orjson.loads(result.line)
    assert len(content["tag"]) == TERM_BYTES_MAX
    assert result.line.endswith(b'","n":1e5}\n')
    assert [(each.field, each.action) for each in result.trimmed] == [("tag", "trim")]


def test_a_trimmed_document_gets_its_timestamp_too() -> None:
    result = amended(LONG)
    content = orjson.loads(result.line)
    assert content["@timestamp"] == "2024-05-06T12:53:20.125Z"
    assert len(content["tag"]) == TERM_BYTES_MAX


def test_a_dropped_field_leaves_a_document() -> None:
    result = amended(b'{"tag":"' + b"x" * 40_000 + b'"}\n', action="drop_field")
    assert "tag" not in orjson.loads(result.line)
    assert orjson.loads(result.line)["@timestamp"]


def test_a_dead_letter_field_leaves_the_document_whole() -> None:
    assert amended(LONG, PLAIN, action="dead_letter") == Amended(LONG)


def test_a_long_text_is_left_alone() -> None:
    line = b'{"message":"' + b"x" * 40_000 + b'"}\n'
    assert amended(line, PLAIN).line is line

"""The field types that refuse a document: `keyword` by bytes, `long` and its like by form.

Only fields that a mapping declares are looked at; nothing is mapped dynamically.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

TERM_BYTES_MAX = 32_766
WHOLE_NUMBERS = frozenset({"long", "integer", "short", "byte"})


@dataclass(slots=True, frozen=True)
class Field:
    """`path` is where its values are, which for a multi-field isn't its `name`."""

    name: str
    path: tuple[str, ...]
    type: str
    ignore_above: int | None = None


@dataclass(slots=True, frozen=True)
class Unfit:
    """A value that its field doesn't take."""

    field: Field
    value: Any
    reason: str


def read_fields(mappings: dict[str, Any], parents: tuple[str, ...] = ()) -> list[Field]:
    """The declared fields that can refuse a value."""
    found: list[Field] = []
    for name, mapping in mappings.get("properties", {}).items():
        path = (*parents, name)
        found += read_fields(mapping, path)
        extra = {f".{each}": declared for each, declared in mapping.get("fields", {}).items()}
        for suffix, declared in {"": mapping, **extra}.items():
            if declared.get("type") in WHOLE_NUMBERS | {"keyword"}:
                full_name = ".".join(path) + suffix
                limit = declared.get("ignore_above")
                found.append(Field(full_name, path, declared["type"], limit))
    return found


def find_unfit(document: dict[str, Any], fields: list[Field]) -> Unfit | None:
    for field in fields:
        for value in _values(document, field.path):
            reason = _refusal(field, value)
            if reason:
                return Unfit(field, value, reason)
    return None


def _values(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from _values(element, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


def _refusal(field: Field, value: Any) -> str | None:
    if field.type == "keyword":
        return _keyword_refusal(field, value)
    try:
        float(value)
    except (TypeError, ValueError):
        return f'For input string: "{value}"'
    return None


def _keyword_refusal(field: Field, value: Any) -> str | None:
    text = value if isinstance(value, str) else str(value)
    utf16_units = len(text.encode("utf-16-le")) // 2
    if field.ignore_above is not None and utf16_units > field.ignore_above:
        return None
    term = text.encode()
    if len(term) <= TERM_BYTES_MAX:
        return None
    prefix = list(array("b", term[:30]))  # signed, as Java prints bytes
    return (
        f'Document contains at least one immense term in field="{field.name}" (whose UTF8 '
        f"encoding is longer than the max length {TERM_BYTES_MAX}), all of which were skipped. "
        "Please correct the analyzer to not produce such terms. The prefix of the first immense "
        f"term is: '{prefix}...'"
    )

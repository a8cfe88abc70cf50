"""Target templates: text with placeholders in braces.

    {service.name}             a field of the document (dotted path); without it, a rejection
    {service.name|unknown}     … or this default, when the field is missing, null or ""
    {@timestamp:%Y.%m.%d}      a field as a UTC date; the receive time where it can't be read
    {header:x-tenant|none}     a header of the request
    {query:tenant|none}        a parameter of its query

Of strftime's codes those that are digits and no finer than an hour are known: %Y %m %d %H %j %G %V.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ingest.router.names import find_fault, is_data_stream_name

_IN_BRACES = re.compile(r"(\{[^{}]*\})")
_PLACEHOLDER = re.compile(
    r"\{(?:(?P<kind>header|query):)?(?P<name>[^{}|:]+)"
    r"(?::(?P<date>%[^{}|]*))?(?:\|(?P<default>[^{}]*))?\}"
)
_DATE_FORMAT = re.compile(r"(?:%[YmdHjGV]|[._-])+")


@dataclass(slots=True, frozen=True)
class Placeholder:
    """One `{…}`: where its text comes from. `date_format` is None where it is no date."""

    kind: Literal["field", "header", "query"]
    name: str
    default: str | None = None
    date_format: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Template: TypeAlias = tuple[str | Placeholder, ...]


def read_template(text: str) -> Template:
    """The literal texts and placeholders of `text`, in order; ValueError says what is wrong."""
    pieces = [piece for piece in _IN_BRACES.split(text) if piece]
    return tuple(
        _placeholder(p) if p.startswith("{") and p[-1] == "}" else _literal(p) for p in pieces
    )


def sample_of(template: Template) -> str:
    """A name that the template may give: each placeholder's default, or "x", or digits."""
    return "".join(piece if isinstance(piece, str) else _sample(piece) for piece in template)


def default_fault(template: Template) -> str | None:
    """Why one of the defaults can't stand in this template's names; None if all can."""
    for piece in template:
        if isinstance(piece, str) or piece.default is None:
            continue
        if fault := find_fault(f"x{piece.default}"):
            return f"has a default {piece.default!r} that {fault}"
        if "-" in piece.default and is_data_stream_name(sample_of(template)):
            return (
                f"has a default {piece.default!r} with '-', which separates a data stream's parts"
            )
    return None


def _literal(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError(f"{text!r} has a brace without its partner; write {{field|default}}")
    return text


def _placeholder(text: str) -> Placeholder:
    match = _PLACEHOLDER.fullmatch(text)
    if match is None:
        raise ValueError(
            f"can't read {text}; write {{field|default}}, {{field:%Y.%m.%d}}, "
            "{header:name|default} or {query:name|default}"
        )
    kind, name, date, default = match.group("kind", "name", "date", "default")
    if default == "":
        raise ValueError(f"{text} has an empty default; leave the '|' out to refuse such documents")
    if date is not None:
        return _date(text, kind, name, date, default)
    if kind is None:
        return Placeholder("field", _path(text, name), default)
    if kind == "header":
        return Placeholder("header", name.lower(), default)
    return Placeholder("query", name, default)


def _date(text: str, kind: str | None, name: str, date: str, default: str | None) -> Placeholder:
    if kind is not None or default is not None:
        raise ValueError(
            f"{text}: a date is taken from a field, and its default is the receive time"
        )
    if not _DATE_FORMAT.fullmatch(date):
        raise ValueError(f"{text}: a date is made of %Y %m %d %H %j %G %V and . _ - only")
    return Placeholder("field", _path(text, name), date_format=date)


def _path(text: str, name: str) -> str:
    if "" in name.split("."):
        raise ValueError(f"{text}: a dotted path may not have empty parts")
    return name


def _sample(placeholder: Placeholder) -> str:
    if placeholder.date_format is not None:
        return re.sub("%.", "0", placeholder.date_format)
    return placeholder.default or "x"

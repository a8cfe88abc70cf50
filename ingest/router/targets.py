"""The targets of one rule: names, action lines and ids, made of what a document holds.

A target is made once for each combination of values and kept under them, so that a document
costs one dict lookup. What is kept is bounded by number and by the length of the values.
Own `_id`s and shard routings are checked here, because one `_id` over 512 bytes makes
Elasticsearch refuse the whole bulk request, and an empty one its item.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import orjson

from ingest.errors import DocumentRefused
from ingest.model import IdMode, Target
from ingest.router.names import clean_name_of, find_fault_of, is_data_stream_name
from ingest.router.routes import FieldReference, Route
from ingest.router.templates import Placeholder, read_template

InvalidNames: TypeAlias = Literal["clean", "reject"]

KEPT_MAX = 10_000  # targets of a rule, dates of a format; cleared when full
KEPT_CHARACTERS_MAX = 512  # longer values are not kept: they could fill the memory
ID_BYTES_MAX = 512
_HOUR_S = 3600


class RoutingError(DocumentRefused):
    """A document that can't be given a target; `rule` is the rule that took it.

    `type` is "routing_error", "invalid_index_name", "invalid_id", "invalid_shard_routing" or
    "route_rejected". The reason names fields and limits, never the values.
    """

    def __init__(self, type: str, reason: str, rule: str):
        super().__init__(type, reason)
        self.rule = rule


class Targets:
    """Makes and keeps the targets of one rule.

    `known` maps the values of the template's placeholders, in order, then that of the shard
    routing's field, to their target: one value as itself, several as a tuple. Only strings and
    None are keys there, because 1, 1.0 and True would be the same one.
    """

    def __init__(
        self,
        route: Route,
        rule: str,
        invalid_names: InvalidNames,
        trims_short_lines: Callable[[str], bool],
        *,
        strings_only: bool = False,
    ):
        self.known: dict[Any, Target] = {}
        self.template = read_template(route.target or "")
        self.placeholders = [each for each in self.template if isinstance(each, Placeholder)]
        self._route = route
        self._rule = rule
        self._invalid_names = invalid_names
        self._trims_short_lines = trims_short_lines
        self._types = (str,) if strings_only else (str, int)

    def make(self, *values: Any) -> Target:
        """The target for these values, for when `known` has none under them.

        Raises RoutingError for values that can't be used, and missing ones without a default.
        """
        texts = [self._filling(*each) for each in zip(self.placeholders, values, strict=False)]
        if self._route.shard_routing is not None:
            texts.append(self._checked("shard_routing", self._route.shard_routing, values[-1]))
        keys = [
            text if type(value) is int else value for value, text in zip(values, texts, strict=True)
        ]
        key = keys[0] if len(keys) == 1 else tuple(keys)
        target = self.known.get(key)
        if target is None:
            target = self._target(texts)
            self._keep(key, target, sum(map(len, texts)))
        return target

    def with_field_id(self, target: Target, value: Any) -> Target:
        """`target` for one document whose `_id` is `value`, of the rule's id field."""
        assert isinstance(self._route.id, FieldReference)
        document_id = self._checked("id", self._route.id, value)
        return _own(target, target.head[:-1] + orjson.dumps(document_id) + b"}}\n")

    def with_hash_id(self, target: Target, line: bytes) -> Target:
        """`target` for one document whose `_id` is the hash of its line's bytes.

        White space around the line does not count, so that a last line without its line break
        has the same id.
        """
        digest = hashlib.blake2b(line.strip(), digest_size=16).digest()
        return _own(target, target.head + base64.urlsafe_b64encode(digest)[:22] + b'"}}\n')

    def _filling(self, placeholder: Placeholder, value: Any) -> str:
        if type(value) in self._types and value != "":
            return str(value)
        if value is None or value == "":
            if placeholder.default is not None:
                return placeholder.default
            reason = f"{placeholder} is missing or empty, and the rule's target has no default"
        else:
            wanted = "a string" if self._types == (str,) else "a string or an integer"
            reason = f"{placeholder} holds {_kind_of(value)} where the target needs {wanted}"
        raise RoutingError("routing_error", reason, self._rule)

    def _checked(self, what: str, reference: FieldReference, value: Any) -> str:
        """The text of an id or shard routing."""
        if type(value) in (str, int):
            text = str(value)
            fault = _key_fault(text)
        else:
            fault = f"holds {_kind_of(value)}; it must be a string or an integer"
        if fault is None:
            return text
        reason = f"{what}: field {reference.field} {fault}"
        raise RoutingError(f"invalid_{what}", reason, self._rule)

    def _target(self, texts: Sequence[str]) -> Target:
        route = self._route
        name = self._name(texts)
        names_a_stream = route.action == "create" and is_data_stream_name(name)
        return Target(
            name=name,
            action=route.action,
            id_mode=_id_mode(route),
            head=_head(route, name, texts[-1] if route.shard_routing else None),
            adds_timestamp=route.timestamp == "add" or (route.timestamp is None and names_a_stream),
            trims_short_lines=self._trims_short_lines(name),
        )

    def _name(self, texts: Sequence[str]) -> str:
        unused = iter(texts)
        pieces = [
            (each, False) if isinstance(each, str) else (next(unused), each.date_format is None)
            for each in self.template
        ]
        if self._invalid_names == "clean":
            return clean_name_of(pieces)
        if fault := find_fault_of(pieces):
            reason = f"the index name made of the document {fault}"
            raise RoutingError("invalid_index_name", reason, self._rule)
        return "".join(text for text, _ in pieces)

    def _keep(self, key: Any, target: Target, characters: int) -> None:
        if characters > KEPT_CHARACTERS_MAX:
            return
        if len(self.known) >= KEPT_MAX:
            self.known.clear()
        self.known[key] = target


class UtcDates:
    """Texts of dates in one strftime format, in UTC, for what `@timestamp` fields hold.

    Strings are ISO 8601 (without a zone: UTC, as Elasticsearch takes them), numbers are
    milliseconds since 1970. `now` gives the receive time, in seconds since 1970, for the rest.
    `fromisoformat` and `strftime` take 1.7 µs, so texts are kept by the hour; of a string that
    ends with Z or +00:00, the first 13 characters are that hour, and no more of it is read.
    """

    def __init__(self, date_format: str, now: Callable[[], float]):
        self._format = date_format
        self._now = now
        self._known: dict[str | int, str] = {}

    def text_of(self, value: Any) -> str:
        if type(value) is str:
            if value.endswith(("Z", "+00:00")):
                hour = value[:13]
                return self._known.get(hour) or self._text_of_string(hour, keep=True)
            return self._text_of_string(value, keep=False)
        if type(value) is int or type(value) is float:
            return self._text_of_milliseconds(value)
        return self._receive_time()

    def _text_of_string(self, text: str, *, keep: bool) -> str:
        try:
            moment = datetime.fromisoformat(text)
            utc = moment.astimezone(UTC) if moment.tzinfo else moment
        except (ValueError, OverflowError):
            return self._receive_time()
        date = utc.strftime(self._format)
        if keep:
            self._keep(text, date)
        return date

    def _text_of_milliseconds(self, milliseconds: float) -> str:
        try:
            return self._text_of_hour(int(milliseconds // (1000 * _HOUR_S)))
        except (ValueError, OverflowError, OSError):  # infinite, or not in the years 1 to 9999
            return self._receive_time()

    def _receive_time(self) -> str:
        return self._text_of_hour(int(self._now() // _HOUR_S))

    def _text_of_hour(self, hour: int) -> str:
        date = self._known.get(hour)
        if date is None:
            date = datetime.fromtimestamp(hour * _HOUR_S, UTC).strftime(self._format)
            self._keep(hour, date)
        return date

    def _keep(self, hour: str | int, date: str) -> None:
        if len(self._known) >= KEPT_MAX:
            self._known.clear()
        self._known[hour] = date


def _id_mode(route: Route) -> IdMode:
    if route.id == "assigned":
        return "assigned"
    if route.id == "elasticsearch" and route.shard_routing is None:
        return "elasticsearch"
    return "own"


def _head(route: Route, name: str, shard_routing: str | None) -> bytes:
    """The action line as `model.Target` wants it; for own ids, as for assigned ones."""
    meta = {"_index": name}
    if route.ingest_pipeline is not None:
        meta["pipeline"] = route.ingest_pipeline
    if shard_routing is not None:
        meta["routing"] = shard_routing
    if route.id == "elasticsearch":
        return orjson.dumps({route.action: meta}, option=orjson.OPT_APPEND_NEWLINE)
    return orjson.dumps({route.action: {**meta, "_id": ""}})[: -len('"}}')]


def _own(target: Target, head: bytes) -> Target:
    return Target(
        target.name, target.action, "own", head, target.adds_timestamp, target.trims_short_lines
    )


def _kind_of(value: Any) -> str:
    kinds = {type(None): "nothing", bool: "a boolean", float: "a decimal number", list: "an array"}
    return kinds.get(type(value), "an object" if isinstance(value, dict) else "a number")


def _key_fault(text: str) -> str | None:
    if not text:
        return "is empty"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"is {size} bytes long; the limit is {ID_BYTES_MAX}" if size > ID_BYTES_MAX else None

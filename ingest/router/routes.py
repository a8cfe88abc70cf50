"""The routing rules as configured: `[[routes]]` tables; the first whose conditions hold wins.

    [[routes]]
    name = "services"                                   # POST /ingest/services skips the conditions
    when = { field = "service.name", exists = true }    # or a list of such tables: all must hold
    target = "logs-{service.name|unknown}-default"

A condition asks a document's `field` (dotted path), a `header`, a `query` parameter or the
request's `path` (`path = true`, or `path = "/x"` for equality) and compares by one of `equals`,
`one_of`, `prefix`, `exists`. JSON null counts as missing. `when = "named"` makes a rule that is
reached by its name alone. What stands in a target's braces is drawn in `templates.py`.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from ingest.errors import ConfigError
from ingest.model import Action
from ingest.router.names import find_fault, is_data_stream_name
from ingest.router.templates import default_fault, read_template, sample_of

Scalar: TypeAlias = str | int | bool
IdSource: TypeAlias = Literal["assigned", "hash", "elasticsearch"]
_ID_SOURCES = ("assigned", "hash", "elasticsearch")
_TESTS = ("equals", "one_of", "prefix", "exists")
_SUBJECTS = ("field", "header", "query", "path")


def _fault(text: str) -> PydanticCustomError:
    # As a value, so that braces in it are not read as pydantic's own placeholders.
    return PydanticCustomError("route", "{text}", {"text": text})


def _fault_at(key: str, text: str) -> ValidationError:
    details = InitErrorDetails(type=_fault(text), loc=(key,), input=None)
    return ValidationError.from_exception_data("route", [details])


def _field_path(path: str) -> str:
    if "" in path.split("."):
        raise _fault("a field is named by a dotted path without empty parts, as in service.name")
    return path


def _scalar(value: Any) -> Scalar:
    if isinstance(value, (str, int)):
        return value
    raise _fault("must be a string, an integer, true or false")


FieldPath = Annotated[str, AfterValidator(_field_path)]
OneScalar = Annotated[Scalar, PlainValidator(_scalar)]
Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    """A TOML table that refuses unknown keys and says which one was probably meant."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, table: Any) -> Any:
        for key in table if _is_table(table) else ():
            if key not in cls.model_fields:
                raise _fault_at(key, f"unknown key; {cls._hint(key)}")
        return table

    @classmethod
    def _hint(cls, key: str) -> str:
        close = difflib.get_close_matches(key, cls.model_fields, n=1)
        return f"did you mean {close[0]}?" if close else f"known: {', '.join(cls.model_fields)}"


class FieldReference(_Table):
    """`{ field = "order.number" }`: the value is taken from each document."""

    field: FieldPath


class Condition(_Table):
    """One question to the request or the document; exactly one subject and one test are set."""

    field: FieldPath | None = None
    header: Annotated[Text, AfterValidator(str.lower)] | None = None
    query: Text | None = None
    path: Literal[True] | None = None

    equals: OneScalar | None = None
    one_of: Annotated[tuple[OneScalar, ...], Field(min_length=1, strict=False)] | None = None
    prefix: Text | None = None
    exists: bool | None = None

    @property
    def subject(self) -> tuple[str, str]:
        """What is asked: "field", "header", "query" or "path", and its name ("" for the path)."""
        kind = next(each for each in _SUBJECTS if getattr(self, each) is not None)
        return kind, "" if kind == "path" else getattr(self, kind)

    @property
    def test(self) -> tuple[str, Any]:
        """How it is compared: "equals", "one_of", "prefix" or "exists", and with what."""
        return next(
            (each, getattr(self, each)) for each in _TESTS if getattr(self, each) is not None
        )

    def __str__(self) -> str:
        return "{} {} {!r}".format(" ".join(self.subject).strip(), *self.test)

    @model_validator(mode="before")
    @classmethod
    def _path_alone_is_equality(cls, table: Any) -> Any:
        if not _is_table(table) or not isinstance(table.get("path"), str):
            return table
        if any(each in table for each in _TESTS):
            raise _fault_at(
                "path", "write path = true together with equals, one_of, prefix or exists"
            )
        return {**table, "path": True, "equals": table["path"]}

    @model_validator(mode="after")
    def _check(self) -> "Condition":
        for keys in (_SUBJECTS, _TESTS):
            given = [each for each in keys if getattr(self, each) is not None]
            if len(given) != 1:
                found = " and ".join(given) or "none"
                raise _fault(f"give exactly one of {', '.join(keys)}; found {found}")
        test, value = self.test
        values = value if test == "one_of" else (value,)
        if self.field is None and test != "exists" and not all(isinstance(v, str) for v in values):
            raise _fault_at(test, f"a {self.subject[0]} is text; put the value in quotes")
        if len({type(each) for each in values}) > 1:
            raise _fault_at(test, "the values must be of one type: all strings or all integers")
        if self.path and test == "exists":
            raise _fault_at("exists", "a request always has a path; use equals, one_of or prefix")
        return self


def _when(value: Any) -> Literal["named"] | tuple[Condition, ...]:
    """Conditions as a tuple; the faults of a single table are told without a list's index."""
    if value == "named":
        return "named"
    if _is_table(value) or isinstance(value, Condition):
        return (Condition.model_validate(value),)
    if not value or not isinstance(value, list | tuple):
        raise _fault('must be a table like { field = "a.b", exists = true }, a list, or "named"')
    conditions: tuple[Condition, ...] = _CONDITIONS.validate_python(value)
    return conditions


def _id_source(value: Any) -> IdSource | FieldReference:
    if _is_table(value) or isinstance(value, FieldReference):
        return FieldReference.model_validate(value)
    if value in _ID_SOURCES:
        return value  # type: ignore[no-any-return]
    raise _fault(f'must be one of {", ".join(_ID_SOURCES)}, or a table like {{ field = "id" }}')


def _target(text: str) -> str:
    try:
        template = read_template(text)
    except ValueError as error:
        raise _fault(str(error)) from error
    if fault := default_fault(template) or find_fault(sample_of(template)):
        raise _fault(f"{text!r} {fault}")
    return text


_CONDITIONS = TypeAdapter(tuple[Condition, ...])


class Route(_Table):
    """One rule: conditions, and where (and how) the documents go for which they hold.

    `timestamp` None means: add a missing `@timestamp` where the name is a data stream's and the
    action is `create` (a data stream refuses documents without one).
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] | None = None
    when: Annotated[Literal["named"] | tuple[Condition, ...], PlainValidator(_when)] = ()
    target: Annotated[str, AfterValidator(_target)] | None = None
    reject: Text | None = None
    action: Action = "create"
    id: Annotated[IdSource | FieldReference, PlainValidator(_id_source)] = "assigned"
    ingest_pipeline: Text | None = None
    shard_routing: FieldReference | None = None
    timestamp: Literal["add", "leave"] | None = None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What must hold, all of it; empty also for a rule that is only reached by its name."""
        return () if self.when == "named" else self.when

    @model_validator(mode="after")
    def _check(self) -> "Route":
        if (self.target is None) == (self.reject is None):
            raise _fault("give exactly one of target, reject")
        if self.when == "named" and self.name is None:
            raise _fault_at("name", 'when = "named" needs a name to be reached by')
        unused = self.model_fields_set - {"name", "when", "reject"}
        if self.reject is not None and unused:
            raise _fault_at(
                "reject", f"goes with name and when only; remove {', '.join(sorted(unused))}"
            )
        if self.action == "index" and self.target and is_data_stream_name(_sample(self.target)):
            raise _fault_at(
                "action",
                f"{self.target!r} is named like a data stream, which takes create only; "
                'write action = "create" or another target',
            )
        return self


def check_routes(routes: Sequence[Route]) -> None:
    """ConfigError where a name is given twice or a rule can never be reached."""
    first_of: dict[str, int] = {}
    taker: int | None = None
    for index, route in enumerate(routes):
        if route.name is not None and first_of.setdefault(route.name, index) != index:
            first = first_of[route.name]
            raise ConfigError(
                f"routes[{index}].name: {route.name!r} is the name of routes[{first}]"
            )
        is_only_named = route.when == "named" or (not route.when and route.name is not None)
        if taker is not None and not is_only_named:
            raise ConfigError(
                f"routes[{index}].when: can never hold, as routes[{taker}] has no conditions and "
                f'takes every document; move routes[{taker}] to the end, or give it when = "named"'
            )
        if taker is None and not route.when:
            taker = index


def read_routes(tables: Sequence[Mapping[str, Any]]) -> list[Route]:
    """The rules of these `[[routes]]` tables; ConfigError names each key that is at fault."""
    try:
        routes: list[Route] = _ROUTES.validate_python(tables)
    except ValidationError as error:
        faults = [f"{key_of(('routes', *e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError("; ".join(faults)) from error
    check_routes(routes)
    return routes


def key_of(location: Sequence[str | int]) -> str:
    """pydantic's location of a fault as a key: `routes[2].when.equals`."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in location).removeprefix(".")


def _sample(target: str) -> str:
    return sample_of(read_template(target))


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


_ROUTES = TypeAdapter(list[Route])

# Where documents go that no rule takes: what Elastic's own agents write into `data_stream`.
DEFAULT_ROUTE = Route(
    name="default",
    target="{data_stream.type|logs}-{data_stream.dataset|generic}-{data_stream.namespace|default}",
)

"""Rules to plain Python: the source of one function that routes documents, compiled once.

    when = { field = "service.name", exists = true }, target = "logs-{service.name|unknown}-default"

becomes

    def bind(path, query, headers):
        def route(document, line):
            try:
                field_2 = document.get(name_0, EMPTY).get(name_1)
            except AttributeError:
                field_2 = None
            if field_2 is None:
                field_2 = document.get(name_3)
            if field_2 is not None:
                try:
                    return known_4[field_2]
                except (KeyError, TypeError):
                    return make_5(field_2)
            …
        return route

`bind` is called once a request and evaluates the conditions on it; what it returns is called for
each document. Only names made here are written into the source. Every text and value of a rule is
a constant that the source refers to by such a name. Functions for each condition and each rule
instead would cost 25 ns a call before they do anything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from ingest.model import Target
from ingest.router.routes import DEFAULT_ROUTE, Condition, FieldReference, Route
from ingest.router.targets import InvalidNames, RoutingError, Targets, UtcDates
from ingest.router.templates import Placeholder

RouteDocument: TypeAlias = Callable[[dict[str, Any], bytes], Target]
HoldsFor: TypeAlias = Callable[[dict[str, Any], bytes], bool]
Texts: TypeAlias = Mapping[str, str]

_DATA_STREAM_KEYS = (
    "data_stream",
    "data_stream.type",
    "data_stream.dataset",
    "data_stream.namespace",
)


@dataclass(slots=True, frozen=True)
class CompiledRoutes:
    """`bind(path, query, headers)` gives the RouteDocument of a request.

    `asks_request` tells whether it depends on the request at all.
    """

    bind: Callable[[str, Texts, Texts], RouteDocument]
    asks_request: bool


def compile_routes(
    rules: Sequence[tuple[str, Route]],
    invalid_names: InvalidNames,
    trims_short_lines: Callable[[str], bool],
    now: Callable[[], float],
) -> CompiledRoutes:
    """One function for these labelled rules, in order, and the default behind them."""
    source = _Source()
    for label, route in rules:
        tests = [source.test(condition) for condition in route.conditions]
        with source.block_if(" and ".join(tests)):
            targets = Targets(route, label, invalid_names, trims_short_lines)
            _write_end(source, route, targets, label, now)
        if not tests:
            return CompiledRoutes(source.compile(), source.asks_request)
    targets = Targets(DEFAULT_ROUTE, "default", invalid_names, trims_short_lines, strings_only=True)
    keys = [source.constant("name", key) for key in _DATA_STREAM_KEYS]
    with source.block_if(" or ".join(f"{key} in document" for key in keys)):
        _write_target(source, DEFAULT_ROUTE, targets, now)
    source.write(f"return {source.constant('target', targets.make(None, None, None))}")
    return CompiledRoutes(source.compile(), source.asks_request)


def compile_condition(condition: Condition) -> Callable[[str, Texts, Texts], HoldsFor]:
    """As `bind` of the rules, but of functions that tell whether this condition holds."""
    source = _Source()
    source.write(f"return {source.test(condition)}")
    bind: Callable[[str, Texts, Texts], HoldsFor] = source.compile()
    return bind


def find_field(document: dict[str, Any], path: str) -> Any:
    """What is at this dotted path, nested, dotted or mixed; None when missing or null.

    `{"a": {"b": 1}}` goes before `{"a.b": 1}`, where a document has both.
    """
    end = path.find(".")
    while end >= 0:
        inner = document.get(path[:end])
        if isinstance(inner, dict):
            value = find_field(inner, path[end + 1 :])
            if value is not None:
                return value
        end = path.find(".", end + 1)
    return document.get(path)


def _write_end(
    source: "_Source", route: Route, targets: Targets, label: str, now: Callable[[], float]
) -> None:
    if route.reject is None:
        _write_target(source, route, targets, now)
    else:
        reason, rule = source.constant("reason", route.reject), source.constant("rule", label)
        source.write(f"raise RoutingError('route_rejected', {reason}, {rule})")


def _write_target(
    source: "_Source", route: Route, targets: Targets, now: Callable[[], float]
) -> None:
    values = [_write_value(source, each, now) for each in targets.placeholders]
    if route.shard_routing is not None:
        values.append(source.field(route.shard_routing.field))
    if isinstance(route.id, FieldReference):
        with_id = source.constant("with_id", targets.with_field_id)
        end = f"return {with_id}({{}}, {source.field(route.id.field)})"
    elif route.id == "hash":
        end = f"return {source.constant('with_id', targets.with_hash_id)}({{}}, line)"
    else:
        end = "return {}"
    if not values:
        source.write(end.format(source.constant("target", targets.make())))
        return
    known, make = source.constant("known", targets.known), source.constant("make", targets.make)
    arguments = ", ".join(values)
    source.write(
        "try:",
        f"    target = {known}[{arguments}]",
        "except (KeyError, TypeError):  # TypeError: a list or an object",
        f"    target = {make}({arguments})",
        end.format("target"),
    )


def _write_value(source: "_Source", placeholder: Placeholder, now: Callable[[], float]) -> str:
    if placeholder.kind != "field":
        return source.request_value(placeholder.kind, placeholder.name)
    field = source.field(placeholder.name)
    if placeholder.date_format is None:
        return field
    text_of = source.constant("text_of", UtcDates(placeholder.date_format, now).text_of)
    return source.assign("date", f"{text_of}({field})")


class _Source:
    """The lines of `bind` and of `route` in it, and the constants that they name."""

    def __init__(self) -> None:
        self._constants: dict[str, Any] = {
            "EMPTY": {},
            "RoutingError": RoutingError,
            "find_field": find_field,
        }
        self._count = 0
        self._bind_lines: list[str] = []
        self._lines: list[str] = []
        self._indent = ""
        self._fields: dict[str, str] = {}  # variables that hold fields at this point, by path
        self._request_values: dict[tuple[str, str], str] = {("path", ""): "path"}

    @property
    def asks_request(self) -> bool:
        return bool(self._bind_lines)

    def compile(self) -> Any:
        """The function `bind`."""
        inner = ["def route(document, line):", *(f"    {line}" for line in self._lines)]
        bind = [f"    {line}" for line in (*self._bind_lines, *inner, "return route")]
        text = "\n".join(["def bind(path, query, headers):", *bind])
        exec(compile(text, "<routes>", "exec"), self._constants)
        return self._constants["bind"]

    def write(self, *lines: str) -> None:
        self._lines += [self._indent + line for line in lines]

    @contextmanager
    def block_if(self, test: str) -> Iterator[None]:
        """What is written inside is done only where `test` holds ("": always)."""
        if not test:
            yield
            return
        self.write(f"if {test}:")
        outer, fields = self._indent, dict(self._fields)
        self._indent += "    "
        yield
        self._indent, self._fields = outer, fields

    def constant(self, kind: str, value: Any) -> str:
        name = self._name(kind)
        self._constants[name] = value
        return name

    def assign(self, kind: str, expression: str) -> str:
        name = self._name(kind)
        self.write(f"{name} = {expression}")
        return name

    def request_value(self, kind: str, name: str) -> str:
        """The variable of `bind` that holds this header or query parameter, or None."""
        if (kind, name) not in self._request_values:
            mapping = "headers" if kind == "header" else "query"
            variable = self._name(kind)
            self._bind_lines.append(f"{variable} = {mapping}.get({self.constant('name', name)})")
            self._request_values[kind, name] = variable
        return self._request_values[kind, name]

    def field(self, path: str) -> str:
        """The variable of `route` that holds this field, or None; looked up once."""
        if path not in self._fields:
            self._fields[path] = self._write_lookup(path)
        return self._fields[path]

    def test(self, condition: Condition) -> str:
        """An expression that tells whether the condition holds."""
        kind, name = condition.subject
        if kind == "field":
            return self._comparison(self.field(name), condition)
        holds = self._name("holds")
        comparison = self._comparison(self.request_value(kind, name), condition)
        self._bind_lines.append(f"{holds} = {comparison}")
        return holds

    def _comparison(self, variable: str, condition: Condition) -> str:
        test, expected = condition.test
        if test == "exists":
            return f"{variable} {'is not' if expected else 'is'} None"
        constant = self.constant(test, frozenset(expected) if test == "one_of" else expected)
        if test == "prefix":
            return f"({variable}.__class__ is str and {variable}.startswith({constant}))"
        # Of the same type: 1, 1.0 and True are equal to Python and different in JSON.
        first = expected[0] if test == "one_of" else expected
        same_type = f"{variable}.__class__ is {self.constant('type', type(first))}"
        return f"({same_type} and {variable} {'in' if test == 'one_of' else '=='} {constant})"

    def _write_lookup(self, path: str) -> str:
        *outer, leaf = path.split(".")
        if not outer:
            return self.assign("field", f"document.get({self.constant('name', leaf)})")
        variable = self._name("field")
        steps = [f".get({self.constant('name', each)}, EMPTY)" for each in outer]
        chain = f"document{''.join(steps)}.get({self.constant('name', leaf)})"
        whole = self.constant("name", path)
        is_pair = len(outer) == 1
        other = f"document.get({whole})" if is_pair else f"find_field(document, {whole})"
        self.write(
            "try:",
            f"    {variable} = {chain}",
            "except AttributeError:  # something else than an object on the way",
            f"    {variable} = None",
            f"if {variable} is None:",
            f"    {variable} = {other}",
        )
        return variable

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

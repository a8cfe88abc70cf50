"""Where documents go: rules over request metadata and document fields, compiled once.

    Router.for_request(path, route name, query, headers)   once a request
        → RouteDocument(document, line) → model.Target      once a document, or RoutingError

`?index=NAME` wins over the rules, where the setting `client_index` allows it: action `create`,
assigned ids. A route's name in the path skips conditions. Else the first rule whose conditions
hold, else the document's `data_stream.type`, `.dataset`, `.namespace` (logs, generic, default).
"""

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ingest.errors import NotFound, RequestError
from ingest.model import Target
from ingest.router.compiled_routes import (
    CompiledRoutes,
    RouteDocument,
    compile_condition,
    compile_routes,
)
from ingest.router.names import find_fault
from ingest.router.routes import DEFAULT_ROUTE, Route, check_routes
from ingest.router.targets import InvalidNames, RoutingError, Targets

__all__ = ["Explanation", "RouteDocument", "Router", "RoutingError", "explain"]

CLIENT_ROUTE = Route(target="{query:index}")
_NOTHING: Mapping[str, str] = {}

AskedRule: TypeAlias = tuple[str, Sequence[tuple[str, bool]]]


class Router:
    """The compiled rules. Raises ConfigError where a rule can't be reached.

    `trims_short_lines` tells of a target's name whether even a short line may hold an oversized
    field; `now` gives seconds since 1970: the receive time, for names with dates that documents
    lack.
    """

    def __init__(
        self,
        routes: Sequence[Route] = (),
        *,
        client_index: bool = True,
        invalid_names: InvalidNames = "clean",
        trims_short_lines: Callable[[str], bool] = lambda name: False,
        now: Callable[[], float] = time.time,
    ):
        check_routes(routes)
        self.rules = [(route.name or f"routes[{i}]", route) for i, route in enumerate(routes)]
        self._client_index = client_index
        self._client_targets = Targets(CLIENT_ROUTE, "?index=", "reject", trims_short_lines)
        self.rules_by_conditions = [rule for rule in self.rules if rule[1].when != "named"]
        self._rules = compile_routes(
            self.rules_by_conditions, invalid_names, trims_short_lines, now
        )
        self._plain = None if self._rules.asks_request else self._rules.bind("", {}, {})
        self._named = {
            label: compile_routes(
                [(label, _without_conditions(route))], invalid_names, trims_short_lines, now
            )
            for label, route in self.rules
            if route.name is not None
        }

    def for_request(
        self,
        path: str,
        route_name: str | None,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> RouteDocument:
        """The function that routes this request's documents; header names are in lower case.

        Raises NotFound for an unknown route, and RequestError for an `index` that is no valid
        name or is not allowed. Where rules ask the request, they are bound to it (about 1 µs);
        nothing is kept of it but the targets.
        """
        if route_name is None and "index" not in query:
            return self._plain or self._rules.bind(path, query, headers)
        rules = self._rules if route_name is None else self._find_named(route_name)
        if "index" in query:
            return self._to_client_index(query["index"])
        return rules.bind(path, query, headers)

    def _find_named(self, route_name: str) -> CompiledRoutes:
        if route_name in self._named:
            return self._named[route_name]
        close = difflib.get_close_matches(route_name[:100], self._named, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise NotFound(f"no route is named {route_name[:100]!r}{hint}")

    def _to_client_index(self, name: str) -> RouteDocument:
        if not self._client_index:
            raise RequestError(
                "?index= is switched off here (setting client_index); leave it out",
                type="client_index_disabled",
            )
        target = self._client_targets.known.get(name)
        if target is None:
            if fault := find_fault(name):
                raise RequestError(f"index: the name {fault}", type="invalid_index_name")
            target = self._client_targets.make(name)
        return lambda document, line: target


@dataclass(slots=True, frozen=True)
class Explanation:
    """What becomes of one document, and why, for `ingest check`.

    `rule` is a route's name or place (`routes[2]`), "default" or "?index="; `asked` are the rules
    that were tried, in order, each with its conditions and whether they hold. `rejection` is set
    where there is no target. `id` is as configured: "assigned", "hash", "elasticsearch" or the
    field's path.
    """

    rule: str
    asked: Sequence[AskedRule]
    target: Target | None
    rejection: RoutingError | None
    id: str
    ingest_pipeline: str | None


def explain(
    router: Router,
    document: dict[str, Any],
    line: bytes,
    *,
    path: str = "/ingest",
    route_name: str | None = None,
    query: Mapping[str, str] = _NOTHING,
    headers: Mapping[str, str] = _NOTHING,
) -> Explanation:
    """Which rule fires for this document of such a request; raises what `for_request` raises."""
    route_document = router.for_request(path, route_name, query, headers)
    asked: list[AskedRule] = []
    if "index" in query:
        rule, route = "?index=", CLIENT_ROUTE
    elif route_name is not None:
        rule, route = route_name, dict(router.rules)[route_name]
    else:
        for rule, route in router.rules_by_conditions:
            bound = [(c, compile_condition(c)(path, query, headers)) for c in route.conditions]
            asked.append((rule, [(str(c), holds(document, line)) for c, holds in bound]))
            if all(held for _, held in asked[-1][1]):
                break
        else:
            rule, route = "default", DEFAULT_ROUTE
    return _explanation(route_document, document, line, rule, route, asked)


def _explanation(
    route_document: RouteDocument,
    document: dict[str, Any],
    line: bytes,
    rule: str,
    route: Route,
    asked: Sequence[AskedRule],
) -> Explanation:
    target, rejection = None, None
    try:
        target = route_document(document, line)
    except RoutingError as error:
        rejection = error
    id_source = route.id if isinstance(route.id, str) else route.id.field
    return Explanation(rule, asked, target, rejection, id_source, route.ingest_pipeline)


def _without_conditions(route: Route) -> Route:
    return route.model_copy(update={"when": ()})

"""Routes of a request, by rules and requests as short as a test needs them."""

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from ingest.router.router import Router, RoutingError
from ingest.router.routes import read_routes

NOW = 1_715_000_000.0  # 2024-05-06T12:53:20Z


def route_of(
    *tables: Mapping[str, Any],
    path: str = "/ingest",
    name: str | None = None,
    query: Mapping[str, str] = {},
    headers: Mapping[str, str] = {},
    **settings: Any,
) -> Any:
    """`target(document)` of these rules and this request."""
    router = Router(read_routes(tables), now=lambda: NOW, **settings)
    route = router.for_request(path, name, query, headers)
    return lambda document: route(document, orjson.dumps(document))


def refusal_of(route: Any, document: Mapping[str, Any]) -> RoutingError:
    with pytest.raises(RoutingError) as caught:
        route(document)
    return caught.value

"""What the ingest port answers to everything but `POST /ingest`: where to go, in the one shape."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ingest.answers import error_answer
from ingest.errors import NotFound, RequestError, Unavailable


class MethodNotAllowed(RequestError):
    """The path is right, the method is not."""

    status = 405
    type = "method_not_allowed"


def build() -> Starlette:
    """The ASGI application behind the hot route."""
    return Starlette(
        routes=[
            Route("/ingest", _ingest, methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
            Route(
                "/ingest/{route:path}",
                _ingest,
                methods=["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"],
            ),
        ],
        exception_handlers={HTTPException: _not_found},
    )


async def _ingest(request: Request) -> Response:
    if request.method == "POST":
        # Only a request that was pipelined behind another's chunked body comes this way.
        return _refusal(
            Unavailable("sent before the answer to the request ahead of it; send it again"),
            {"connection": "close", "retry-after": "1"},
        )
    return _refusal(
        MethodNotAllowed(f"{request.method} {request.url.path}: documents are POSTed"),
        {"allow": "POST"},
    )


async def _not_found(request: Request, error: Exception) -> Response:
    return _refusal(
        NotFound(f"no such path: {request.url.path}; documents are POSTed to /ingest"), {}
    )


def _refusal(error: RequestError, headers: dict[str, str]) -> Response:
    return Response(
        error_answer(error), error.status, headers=headers, media_type="application/json"
    )

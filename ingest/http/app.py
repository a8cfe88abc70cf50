"""What the ingest port answers to everything but `POST /ingest`: where to go, in the one shape."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ingest.errors import NotFound, RequestError
from ingest.http.answers import error_answer


class MethodNotAllowed(RequestError):
    """The path is right, the method is not."""

    status = 405
    type = "method_not_allowed"


def build() -> Starlette:
    """The ASGI application behind the hot route."""
    return Starlette(exception_handlers={HTTPException: _refuse})


async def _refuse(request: Request, error: Exception) -> Response:
    path = request.url.path
    if path == "/ingest" or path.startswith("/ingest/"):  # a POST would not have come here
        refusal = MethodNotAllowed(f"{request.method} {path}: documents are POSTed")
        return _answer(refusal, {"allow": "POST"})
    return _answer(NotFound(f"no such path: {path}; documents are POSTed to /ingest"), {})


def _answer(error: RequestError, headers: dict[str, str]) -> Response:
    return Response(
        error_answer(error), error.status, headers=headers, media_type="application/json"
    )

"""What is under `/debug` on the admin port: profiles, stacks, buffers.

Open where the admin port listens on loopback; elsewhere it asks for `admin_token`.
"""

import asyncio
import hmac
import ipaddress
import os
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest import metrics
from ingest.config import Settings
from ingest.errors import NotFound, RequestError, Unavailable
from ingest.http.answers import error_answer
from ingest.supervision.profiler import FORMATS, MEDIA, SECONDS_MAX, Format, Profiler, with_caption
from ingest.supervision.totals import Totals
from ingest.supervision.worker_process import WorkerProcess

Endpoint = Callable[[Request], Awaitable[Response]]


class Unauthorized(RequestError):
    """The token is missing or wrong."""

    status: ClassVar[int] = 401
    type: ClassVar[str] = "unauthorized"


class Forbidden(RequestError):
    """Nobody may do this with these settings."""

    status: ClassVar[int] = 403
    type: ClassVar[str] = "forbidden"


class Debug:
    """Looks into the workers from outside; they need not answer for it."""

    def __init__(self, settings: Settings, totals: Totals):
        self._settings = settings
        self._totals = totals
        self._profiler = Profiler()

    def routes(self) -> list[Route]:
        return [
            Route("/debug/profile", self._guarded(self._profile)),
            Route("/debug/stacks", self._guarded(self._stacks)),
            Route("/debug/buffers", self._guarded(self._buffers)),
        ]

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            try:
                self._check_access(request)
                return await endpoint(request)
            except RequestError as error:
                return _refusal(error)
            except asyncio.CancelledError:  # by uvicorn, which waits for no profile
                return _refusal(Unavailable("the service stops"))

        return guarded

    def _check_access(self, request: Request) -> None:
        token = self._settings.admin_token
        if token is None:
            if _is_loopback(self._settings.admin_address[0]):
                return
            raise Forbidden("the admin port is not on loopback: set admin_token to open /debug")
        given = request.headers.get("authorization", "")
        wanted = f"Bearer {token.get_secret_value()}"
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise Unauthorized("send the admin_token: Authorization: Bearer TOKEN")

    async def _profile(self, request: Request) -> Response:
        seconds, form, native = _options(request)
        chosen = request.query_params.get("worker", "all")
        pid = os.getpid() if chosen == "all" else self._worker(chosen).pid
        started, before = time.monotonic(), self._totals.ledger().received
        profile = await self._profiler.record(
            pid, seconds, form, all_children=chosen == "all", native=native
        )
        took_s = time.monotonic() - started
        rate = (self._totals.ledger().received - before) / took_s
        whose = f"worker {chosen} of" if chosen != "all" else "all workers:"
        title = (
            f"ingest {version('ingest')}, {whose} {len(self._totals.workers)}, "
            f"{min(seconds, took_s):.0f} s, {rate:,.0f} documents/s in all"
        )
        if form == "flamegraph":
            profile = with_caption(profile, title)
        return Response(profile, media_type=MEDIA[form], headers={"ingest-profile": title})

    async def _stacks(self, request: Request) -> Response:
        pids = [os.getpid(), *(worker.pid for worker in self._totals.workers)]
        return Response(await self._profiler.stacks(pids), media_type="text/plain")

    async def _buffers(self, request: Request) -> Response:
        shown = [
            {
                "pid": worker.pid,
                "buffers": self._settings.buffers,
                "buffers_free": _gauge(worker, metrics.BUFFERS_FREE),
                "buffer_bytes": self._settings.buffer_bytes,
                "pending_bytes": _gauge(worker, metrics.PENDING_BYTES),
                "max_pending_bytes": self._settings.max_pending_bytes,
                "connections": _gauge(worker, metrics.CONNECTIONS),
            }
            for worker in self._totals.workers
        ]
        return JSONResponse({"workers": shown})

    def _worker(self, index: str) -> WorkerProcess:
        workers = self._totals.workers
        if not index.isdecimal() or int(index) >= len(workers):
            raise NotFound(f"worker {index!r}: choose all or 0 to {len(workers) - 1}")
        return workers[int(index)]


def _refusal(error: RequestError) -> Response:
    return Response(error_answer(error), error.status, media_type="application/json")


def _options(request: Request) -> tuple[int, Format, bool]:
    seconds = request.query_params.get("seconds", "10")
    if not seconds.isdecimal() or not 1 <= int(seconds) <= SECONDS_MAX:
        raise RequestError(f"seconds {seconds!r}: a whole number from 1 to {SECONDS_MAX}")
    wanted = request.query_params.get("format", "flamegraph")
    for form in FORMATS:
        if form == wanted:
            native = request.query_params.get("native", "") in ("1", "true", "yes")
            return int(seconds), form, native
    raise RequestError(f"format {wanted!r}: choose one of {', '.join(FORMATS)}")


def _gauge(worker: WorkerProcess, metric: metrics.Metric) -> int:
    return worker.scoreboard.read(metric)[""][0]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

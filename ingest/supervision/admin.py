"""The admin port: is it alive, is it ready, what is it doing. Never waits for a worker."""

import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest.config import Settings
from ingest.supervision.cluster_facts import ClusterFacts
from ingest.supervision.debug import Debug
from ingest.supervision.totals import Totals


class Admin:
    """Answers from what the supervisor knows; nothing here does I/O."""

    def __init__(
        self,
        settings: Settings,
        totals: Totals,
        facts: ClusterFacts,
        readiness: Callable[[], tuple[bool, str]],
    ):
        self._settings = settings
        self._totals = totals
        self._facts = facts
        self._readiness = readiness
        self._version = version("ingest")  # from the package's metadata, a file
        self._registry = CollectorRegistry()
        self._registry.register(totals)

    def build(self) -> Starlette:
        """The ASGI application of the admin port."""
        return Starlette(
            routes=[
                Route("/livez", self._livez),
                Route("/readyz", self._readyz),
                Route("/status", self._status),
                Route("/metrics", self._metrics),
                *Debug(self._settings, self._totals).routes(),
            ]
        )

    async def _livez(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, request: Request) -> Response:
        """False before the workers listen, while draining, or when none lives; an Elasticsearch
        that is down is no reason: documents are still taken, up to the budgets."""
        is_ready, reason = self._readiness()
        return JSONResponse({"ready": is_ready, "reason": reason}, 200 if is_ready else 503)

    async def _status(self, request: Request) -> Response:
        return JSONResponse(self.status())

    async def _metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), media_type=content_type)

    def status(self) -> dict[str, Any]:
        ledger = self._totals.ledger()
        return {
            "version": self._version,
            "python": platform.python_version(),
            "documents": {
                "received": ledger.received,
                "recovered": ledger.recovered,
                "rejected": ledger.rejected,
                "indexed": ledger.indexed,
                "duplicate": ledger.duplicate,
                "dead_letter": ledger.dead_letter,
                "lost": ledger.lost,
                "in_memory": ledger.in_memory,
                "spooled": ledger.spooled,
            },
            "workers": [
                {
                    "pid": worker.pid,
                    "state": worker.scoreboard.state,
                    "heartbeat_age_s": round(worker.scoreboard.heartbeat_age_s, 3),
                    "resident_bytes": worker.resident_bytes,
                    "data_dir": str(self._settings.data_dir.absolute()),
                }
                for worker in self._totals.workers
            ],
            "worker_restarts": self._totals.restarts,
            "elasticsearch": self._facts.as_json(),
            "routes": [
                {"name": route.name, "target": route.target, "reject": route.reject}
                for route in self._settings.routes
            ],
        }

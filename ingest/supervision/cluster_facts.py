"""What is known of the cluster, asked now and then by the supervisor, for workers and people."""

import threading
from typing import Any

import structlog
from elastic_transport import TransportError
from elasticsearch import ApiError

from ingest.config import ElasticsearchSettings
from ingest.delivery.cluster import connect

INTERVAL_S = 10.0
_ASK_S = 5.0
log = structlog.get_logger(__name__)


class ClusterFacts:
    """Whether Elasticsearch can be reached, and which version it is."""

    def __init__(self, settings: ElasticsearchSettings):
        self._hosts = list(settings.hosts)
        self._client = connect(settings).options(request_timeout=_ASK_S)
        self._is_closed = threading.Event()
        self._is_reachable: bool | None = None
        self._version: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "hosts": [_without_credentials(host) for host in self._hosts],
            "reachable": self._is_reachable,
            "version": self._version,
        }

    def start(self) -> None:
        """Ask in a thread that nobody waits for at the end: a black hole answers after seconds."""
        threading.Thread(target=self._keep_asking, name="cluster facts", daemon=True).start()

    def _keep_asking(self) -> None:
        while True:
            self._ask()
            if self._is_closed.wait(INTERVAL_S):
                return

    def _ask(self) -> None:
        try:
            self._version = self._client.info()["version"]["number"]
            self._is_reachable = True
        except ApiError as error:  # it answers, though not that; e.g. a key without `monitor`
            self._is_reachable = error.status_code < 500
        except (TransportError, KeyError, TypeError):
            self._is_reachable = False

    def close(self) -> None:
        self._is_closed.set()


def _without_credentials(host: str) -> str:
    scheme, separator, rest = host.partition("://")
    return scheme + separator + rest.rpartition("@")[2]

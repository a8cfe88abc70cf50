"""The Elasticsearch client, built so that ready bytes pass through it untouched.

The client's defaults retry three times without a pause and copy ready bytes twice: here it never
retries (the bulk writer does, with backoff), a bulk body is a sequence of chunks that the HTTP
layer writes one after the other, and answers stay bytes until somebody needs to look inside.
The synchronous client in a few threads costs 0.1 µs a document less than the asynchronous one.
"""

import asyncio
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elastic_transport import Serializer, TransportError
from elasticsearch import ApiError, Elasticsearch, UnsupportedProductError
from pydantic import SecretStr

from ingest import failpoints
from ingest.config import ElasticsearchSettings
from ingest.delivery.bulk_response import FILTER_PATH
from ingest.delivery.lookout import Lookout
from ingest.errors import ConfigError
from ingest.failpoints import Hit

PROBE_S = 5.0
_BULK_TARGET = f"/_bulk?filter_path={FILTER_PATH}"
_JSON = "application/vnd.elasticsearch+json; compatible-with=8"
_NDJSON = "application/vnd.elasticsearch+x-ndjson; compatible-with=8"
_JOINED_BELOW_BYTES = 64 * 1024  # smaller chunks are cheaper to join than to write one by one


@dataclass(slots=True, frozen=True)
class Answer:
    """What a bulk request got: an HTTP status and the body as it came."""

    status: int
    body: bytes


class Unanswered(Exception):
    """No answer: refused, reset, cut or timed out. Nothing is known of the documents."""


class BulkClient:
    """Sends bulk requests; at most `max_in_flight` at a time, each in its own thread."""

    def __init__(
        self,
        settings: ElasticsearchSettings,
        max_in_flight: int,
        lookout: Lookout,
        hit: Hit = failpoints.off,
    ):
        self._lookout = lookout
        self._hit = hit
        self._client = connect(settings, max_in_flight, passes_bytes=True)
        self._threads = ThreadPoolExecutor(max_in_flight, thread_name_prefix="bulk")

    async def bulk(self, chunks: Sequence[bytes]) -> Answer:
        """Raises Unanswered."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._bulk, chunks)

    async def answers(self) -> bool:
        """Whether a small question gets any answer at all. False, too, where another worker looks
        or has just looked in vain: then nothing is asked.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._look)

    def _look(self) -> bool:
        if not self._lookout.try_begin():
            return False
        is_found = False
        try:
            is_found = self._answers()
        finally:
            self._lookout.end(is_found=is_found)
        return is_found

    def _answers(self) -> bool:
        try:
            self._client.options(request_timeout=PROBE_S).perform_request(
                "GET", "/_cluster/health?filter_path=status", headers={"accept": _JSON}
            )
        except ApiError as error:  # a key that may only write is answered 403
            return error.status_code < 500
        except TransportError:
            return False
        return True

    def _bulk(self, chunks: Sequence[bytes]) -> Answer:
        size_bytes = sum(map(len, chunks))
        body: object = chunks
        if size_bytes < _JOINED_BELOW_BYTES * len(chunks):
            body = b"".join(chunks)
        headers = {
            "content-type": _NDJSON,
            "accept": _JSON,
            "content-length": str(size_bytes),
        }
        self._hit("bulk_send")
        try:
            answer = self._client.perform_request("POST", _BULK_TARGET, headers=headers, body=body)
            self._hit("bulk_answer")
        except UnsupportedProductError as error:
            raise Unanswered("the server does not say that it is Elasticsearch") from error
        except ApiError as refused:
            return Answer(refused.status_code, _as_bytes(refused.body))
        except TransportError as error:
            raise Unanswered(f"{type(error).__name__}: {error.message}") from error
        return Answer(answer.meta.status, _as_bytes(answer.body))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()


def connect(
    settings: ElasticsearchSettings, connections: int = 2, *, passes_bytes: bool = False
) -> Elasticsearch:
    """A client for these settings. Raises ConfigError where a credentials file can't be read."""
    arguments: dict[str, Any] = {
        "hosts": list(settings.hosts),
        "max_retries": 0,
        "retry_on_timeout": False,
        "request_timeout": settings.request_timeout_s,
        "connections_per_node": connections,
    }
    if api_key := _secret(settings.api_key, settings.api_key_file):
        arguments["api_key"] = api_key
    elif settings.username:
        password = _secret(settings.password, settings.password_file)
        arguments["basic_auth"] = (settings.username, password or "")
    if settings.ca_file is not None:
        arguments["ca_certs"] = str(settings.ca_file)
    if passes_bytes:
        passing = (_JsonBytes, _PlainJsonBytes, _NdjsonBytes)
        arguments["serializers"] = {each.mimetype: each() for each in passing}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # client 8 against a cluster without security
        return Elasticsearch(**arguments)


class _JsonBytes(Serializer):
    """Passes answers through as they are."""

    mimetype = "application/vnd.elasticsearch+json"

    def dumps(self, data: Any) -> Any:
        return data

    def loads(self, data: bytes) -> bytes:
        return data


class _PlainJsonBytes(_JsonBytes):
    """The same for servers that do not repeat the type that was asked for, such as the engine."""

    mimetype = "application/json"


class _NdjsonBytes(_JsonBytes):
    """Passes bulk bodies through as they are."""

    mimetype = "application/vnd.elasticsearch+x-ndjson"


def _as_bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else b""


def _secret(value: SecretStr | None, file: Path | None) -> str | None:
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        return file.read_text().strip()
    except OSError as error:
        raise ConfigError(f"{file}: can not be read: {error.strerror}") from error

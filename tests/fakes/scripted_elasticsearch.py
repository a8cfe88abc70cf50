"""An Elasticsearch that fails as it is told, over real HTTP on loopback.

    with ScriptedElasticsearch() as es:
        es.script(refuse(429), answer_items({1: rejected()}), reset("after_body"))
        ...  # let the program under test write to es.url
        es.wait_for_documents(1000, timeout_s=10)
        assert len(es.documents("logs-a-default")) == 1000

Each bulk request takes the next step of the script; without one it is answered as a real node
would: captures in `tests/data/captures` and a comparison with real nodes hold it to that.
It forgets nothing: all documents and request bodies stay in memory.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from tests.fakes.bulk_api import BulkApi
from tests.fakes.bulk_body import Operation
from tests.fakes.http_server import Answer, Body, Head
from tests.fakes.indices import Indices, StoredDocument
from tests.fakes.node_api import NodeApi
from tests.fakes.script import Script, Step
from tests.fakes.scripted_server import ScriptedServer

BULK = "/_bulk"


@dataclass(slots=True, frozen=True)
class BulkRequest:
    """A bulk request as it arrived; header names are lower case.

    `body` is decompressed, and empty where a step kept it from being read. `operations` is empty
    where the body can't be read as bulk lines. `status` is None where no answer was given.
    """

    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    wire_bytes: int
    operations: list[Operation]
    status: int | None

    @property
    def ids(self) -> list[str | None]:
        return [operation.id for operation in self.operations]

    @property
    def sources(self) -> list[bytes]:
        return [operation.source for operation in self.operations]


class ScriptedElasticsearch:
    """One scripted node. `data_streams`: name patterns that are data streams, as by a template."""

    def __init__(
        self,
        *,
        version: str = "8.19.21",
        data_streams: tuple[str, ...] = (),
        max_content_bytes: int = 100 << 20,
    ) -> None:
        self.indices = Indices(data_streams)
        self.bulk_requests: list[BulkRequest] = []
        self._api = NodeApi(self.indices, version)
        self._bulk_api = BulkApi(self.indices)
        self._scripts: dict[str, Script] = {}
        self._changed = threading.Condition()
        self._server = ScriptedServer(
            self._choose_step, self._answer, self._note_unread, max_content_bytes
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.port}"

    def script(self, *steps: Step, path: str = BULK) -> None:
        """Adds steps for the coming requests: all bulk requests, or those of another `path`."""
        self._script(path).add(*steps)

    def set_default(self, step: Step, path: str = BULK) -> None:
        """What happens when no step is left; `Step()` is a healthy node again."""
        self._script(path).default = step

    def clear_script(self, path: str = BULK) -> None:
        """Forgets the steps that are left: ends a step that lasts `FOREVER`."""
        self._script(path).clear()

    def documents(self, index: str | None = None) -> list[StoredDocument]:
        """Every write that succeeded, in order of arrival; an overwriting one comes again."""
        stored = list(self.indices.documents)
        return stored if index is None else [each for each in stored if each.index == index]

    def sources(self, index: str) -> dict[str, bytes]:
        """What is in an index or data stream now, by id."""
        found = self.indices.by_name.get(index)
        return found.sources() if found else {}

    def wait_for_documents(self, count: int, timeout_s: float = 10) -> list[StoredDocument]:
        """Waits until so many writes have succeeded. Raises TimeoutError saying what came."""
        self.wait_until(lambda: len(self.indices.documents) >= count, timeout_s)
        return self.documents()

    def wait_for_bulk_requests(self, count: int, timeout_s: float = 10) -> list[BulkRequest]:
        """Waits until so many bulk requests were dealt with, well or badly."""
        self.wait_until(lambda: len(self.bulk_requests) >= count, timeout_s)
        return list(self.bulk_requests)

    def wait_until(self, is_reached: Callable[[], bool], timeout_s: float = 10) -> None:
        """Waits for a condition that is looked at after each bulk request."""
        with self._changed:
            if not self._changed.wait_for(is_reached, timeout_s):
                raise TimeoutError(
                    f"not reached within {timeout_s} s: {len(self.bulk_requests)} bulk requests "
                    f"and {len(self.indices.documents)} documents arrived"
                )

    def pause(self) -> None:
        """A black hole: connections are taken, nothing is read and nothing answered."""
        self._server.pause()

    def resume(self) -> None:
        """Goes on with what came in while paused."""
        self._server.resume()

    def stop(self) -> None:
        """Refuses connections from now on and resets those that are open."""
        self._server.stop()

    def start(self) -> None:
        """Listens, again on the same port after `stop`; documents and script are kept."""
        self._server.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.close()

    def _script(self, path: str) -> Script:
        return self._scripts.setdefault(path, Script())

    def _choose_step(self, head: Head) -> Step:
        return self._script(BULK if _is_bulk(head) else head.path).next_step()

    def _answer(self, head: Head, body: Body, step: Step) -> Answer:
        if not _is_bulk(head):
            return self._api.answer(head, body.content) if step.applies else step.answer()
        answer, operations = self._bulk_api.answer(head, body.content, step)
        status = None if step.reset == "after_body" else answer.status
        self._note(head, body, operations, status)
        return answer

    def _note_unread(self, head: Head, status: int | None) -> None:
        if _is_bulk(head):
            self._note(head, Body(b"", 0), [], status)

    def _note(
        self, head: Head, body: Body, operations: list[Operation], status: int | None
    ) -> None:
        request = BulkRequest(
            head.path, head.query, head.headers, body.content, body.wire_bytes, operations, status
        )
        with self._changed:
            self.bulk_requests.append(request)
            self._changed.notify_all()


def _is_bulk(head: Head) -> bool:
    return head.path.endswith(BULK)

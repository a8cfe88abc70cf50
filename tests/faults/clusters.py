"""Where documents arrive: the scripted Elasticsearch or a real node, looked at in the same way."""

import json
import urllib.request
from typing import Any, Protocol

import msgspec

from tests.fakes import ScriptedElasticsearch
from tests.fakes.indices import Version
from tests.faults.producers import INDEX, MAPPINGS

PAGE_DOCUMENTS = 5000
_FORGOTTEN = Version(1, b"")


class Cluster(Protocol):
    """An Elasticsearch with an index that refuses a text where a number belongs."""

    index: str

    @property
    def url(self) -> str: ...

    def arrived(self) -> list[bytes]:
        """The source of every document that can be seen, byte for byte, copies too."""


class ScriptedCluster:
    """Keeps what arrived in this process."""

    index = INDEX

    def __init__(self, es: ScriptedElasticsearch):
        self.es = es
        es.indices.create(self.index, {"mappings": MAPPINGS})

    @property
    def url(self) -> str:
        return self.es.url

    def arrived(self) -> list[bytes]:
        return [document.source for document in self.es.documents(self.index)]

    def forget(self) -> None:
        """All documents up to now, but not their ids: a later copy must conflict all the same."""
        self.es.indices.documents.clear()
        self.es.bulk_requests.clear()
        versions = self.es.indices.by_name[self.index].versions
        for id in list(versions):
            versions[id] = _FORGOTTEN


class RealCluster:
    """A real node; sources are cut out of its answers, which repeat them as they were sent.

    `url` is where the service finds it, the node's own one unless a gate stands before it.
    """

    def __init__(self, node: str, index: str, url: str | None = None):
        self.url = url or node
        self.index = index
        self._node = node
        self._ask("PUT", f"/{index}", {"mappings": MAPPINGS})

    def arrived(self) -> list[bytes]:
        self._ask("POST", f"/{self.index}/_refresh")
        query = {"size": PAGE_DOCUMENTS, "sort": ["_doc"]}
        page = self._ask("POST", f"/{self.index}/_search?scroll=1m", query)
        sources = []
        while found := _sources(page):
            sources += found
            scroll = {"scroll": "1m", "scroll_id": json.loads(page)["_scroll_id"]}
            page = self._ask("POST", "/_search/scroll", scroll)
        return sources

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self._node + path, content, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            read: bytes = answer.read()
        return read


class _Hit(msgspec.Struct):
    _source: msgspec.Raw


class _Hits(msgspec.Struct):
    hits: list[_Hit]


class _Page(msgspec.Struct):
    hits: _Hits


def _sources(page: bytes) -> list[bytes]:
    hits = msgspec.json.decode(page, type=_Page).hits.hits
    return [bytes(hit._source) for hit in hits]

"""What writers need of Elasticsearch's HTTP API to set up and to look around."""

from collections.abc import Callable
from typing import Any

import orjson

from tests.fakes.bulk_body import Refusal
from tests.fakes.http_server import Answer, Head
from tests.fakes.indices import Index, Indices
from tests.fakes.json_answers import json_answer
from tests.fakes.templates import select

Json = dict[str, Any]
Handler = Callable[[Head, list[str], Json], tuple[int, Any]]


class NodeApi:
    """Answers requests from the state in `indices`."""

    def __init__(self, indices: Indices, version: str) -> None:
        self._indices = indices
        self._version = version
        self._handlers: dict[str, Handler] = {
            "": self._root,
            "_cluster": self._health,
            "_component_template": self._component_template,
            "_index_template": self._index_template,
            "_refresh": self._refresh,
        }
        self._index_handlers: dict[str, Handler] = {
            "": self._index,
            "_settings": self._settings,
            "_mapping": self._mapping,
            "_count": self._count,
            "_refresh": self._refresh,
        }

    def answer(self, head: Head, body: bytes) -> Answer:
        """The answer to anything but a bulk request."""
        parts = head.path.strip("/").split("/")
        handler = self._handlers.get(parts[0])
        if handler is None and not parts[0].startswith("_"):
            handler = self._index_handlers.get(parts[1] if len(parts) > 1 else "")
        if handler is None:
            uri = f"no handler found for uri [{head.path}] and method [{head.method}]"
            return json_answer(head, 400, {"error": uri})
        try:
            status, answer = handler(head, parts, orjson.loads(body) if body else {})
        except Refusal as refusal:
            return json_answer(head, refusal.status, refusal.body)
        return json_answer(head, status, answer)

    def _root(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        version = {"number": self._version, "build_flavor": "default", "build_type": "zip"}
        tagline = "You Know, for Search"
        names = {"name": "node-1", "cluster_name": "scripted", "cluster_uuid": "scripted"}
        return 200, {**names, "version": version, "tagline": tagline}

    def _health(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        nodes = {"number_of_nodes": 1, "number_of_data_nodes": 1}
        shards = {"active_primary_shards": len(self._indices.by_name), "unassigned_shards": 0}
        state = {"cluster_name": "scripted", "status": "green", "timed_out": False}
        return 200, {**state, **nodes, **shards}

    def _component_template(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        templates = self._indices.templates
        name = parts[1] if len(parts) > 1 else "*"
        if head.method == "PUT":
            templates.put_component(name, body)
            return 200, {"acknowledged": True}
        found = select(templates.components, name)
        if not found and "*" not in name:
            missing = f"component template matching [{name}] not found"
            reason = name if head.method == "DELETE" else missing
            raise Refusal("resource_not_found_exception", reason, 404)
        if head.method == "DELETE":
            return _delete(templates.components, found)
        listed = [{"name": each, "component_template": body} for each, body in found.items()]
        return 200, {"component_templates": listed}

    def _index_template(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        templates = self._indices.templates
        name = parts[1] if len(parts) > 1 else "*"
        if head.method == "PUT":
            reason = templates.put_index(name, body)
            if reason:
                raise Refusal("invalid_index_template_exception", reason)
            return 200, {"acknowledged": True}
        found = select(templates.indices, name)
        if not found and "*" not in name:
            if head.method == "DELETE":
                reason = f"index_template [{name}] missing"
                raise Refusal("index_template_missing_exception", reason, 404)
            reason = f"index template matching [{name}] not found"
            raise Refusal("resource_not_found_exception", reason, 404)
        if head.method == "DELETE":
            return _delete(templates.indices, found)
        listed = [{"name": each, "index_template": body} for each, body in found.items()]
        return 200, {"index_templates": listed}

    def _index(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        name = parts[0]
        if head.method == "PUT":
            existing = self._indices.by_name.get(name)
            if existing:
                details = {"index_uuid": existing.uuid, "index": name}
                reason = f"index [{name}/{existing.uuid}] already exists"
                raise Refusal("resource_already_exists_exception", reason, details=details)
            self._indices.create(name, body)
            return 200, {"acknowledged": True, "shards_acknowledged": True, "index": name}
        index = self._existing(name)
        if head.method == "DELETE":
            del self._indices.by_name[name]
            return 200, {"acknowledged": True}
        return 200, {name: {"mappings": index.mappings, "settings": index.settings}}

    def _settings(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        index = self._existing(parts[0])
        if head.method == "PUT":
            index.put_settings(body)
            return 200, {"acknowledged": True}
        return 200, {index.backing_name: {"settings": index.settings}}

    def _mapping(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        index = self._existing(parts[0])
        if head.method == "PUT":
            index.put_mappings(body)
            return 200, {"acknowledged": True}
        return 200, {index.backing_name: {"mappings": index.mappings}}

    def _count(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        shards = {"total": 1, "successful": 1, "skipped": 0, "failed": 0}
        return 200, {"count": len(self._existing(parts[0]).sources()), "_shards": shards}

    def _refresh(self, head: Head, parts: list[str], body: Json) -> tuple[int, Any]:
        return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}

    def _existing(self, name: str) -> Index:
        index = self._indices.by_name.get(name)
        if index is None:
            details = {"resource.type": "index_or_alias", "resource.id": name}
            details |= {"index_uuid": "_na_", "index": name}
            reason = f"no such index [{name}]"
            raise Refusal("index_not_found_exception", reason, 404, details=details)
        return index


def _delete(stored: dict[str, Json], found: dict[str, Json]) -> tuple[int, Any]:
    for name in found:
        del stored[name]
    return 200, {"acknowledged": True}

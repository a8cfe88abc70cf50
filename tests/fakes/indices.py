"""The indices and data streams of a scripted Elasticsearch, and what bulk operations do to them.

Shard routing, external versions, sequence number conditions and ingest pipelines are ignored.
"""

import base64
import hashlib
import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from tests.fakes import items
from tests.fakes.bulk_body import Action, Operation
from tests.fakes.fields import Field, find_unfit, read_fields
from tests.fakes.index_names import invalid_name_reason
from tests.fakes.templates import Templates, merge, nest_settings

Json = dict[str, Any]
BACKING_DATE = "2026.01.01"


@dataclass(slots=True)
class StoredDocument:
    """A document that was indexed: `index` is the name that was written to, `source` its bytes."""

    index: str
    id: str
    action: Action
    source: bytes


@dataclass(slots=True)
class Version:
    """What is under one id; `source` None: deleted."""

    number: int
    source: bytes | None


@dataclass(slots=True)
class Index:
    """One index, or a data stream with its one backing index."""

    name: str
    backing_name: str
    is_data_stream: bool = False
    settings: Json = field(default_factory=dict)
    mappings: Json = field(default_factory=dict)
    fields: list[Field] = field(default_factory=list)
    shards: int = 2
    versions: dict[str, Version] = field(default_factory=dict)
    next_seq_no: int = 0

    @property
    def uuid(self) -> str:
        digest = hashlib.sha256(self.backing_name.encode()).digest()
        return base64.urlsafe_b64encode(digest)[:22].decode()

    def put_mappings(self, mappings: Json) -> None:
        self.mappings = merge(self.mappings, mappings)
        self.fields = read_fields(self.mappings)

    def put_settings(self, settings: Json) -> None:
        self.settings = merge(self.settings, nest_settings(settings))
        self.shards = 1 + int(self.settings.get("index", {}).get("number_of_replicas", 1))

    def find(self, id: str) -> tuple[int, bytes] | None:
        """Version number and source of a document that is there."""
        version = self.versions.get(id)
        if version is None or version.source is None:
            return None
        return version.number, version.source

    def sources(self) -> dict[str, bytes]:
        """What is there now, by id: asked by tests' threads, too, while requests are applied."""
        versions = self.versions.copy()
        return {id: each.source for id, each in versions.items() if each.source is not None}

    def store(self, id: str, source: bytes | None, result: str, status: int) -> Json:
        """Puts a new version under the id and gives the item."""
        before = self.versions.get(id)
        number = 1 if before is None else before.number + 1
        self.versions[id] = Version(number, source)
        self.next_seq_no += 1
        return self.item(id, number, result, status)

    def item(self, id: str, number: int, result: str, status: int) -> Json:
        return {
            "_index": self.backing_name,
            "_id": id,
            "_version": number,
            "result": result,
            "_shards": {"total": self.shards, "successful": 1, "failed": 0},
            "_seq_no": self.next_seq_no - 1,
            "_primary_term": 1,
            "status": status,
        }


class Indices:
    """All indices by the name that is written to."""

    def __init__(self, data_streams: tuple[str, ...] = ()) -> None:
        self.by_name: dict[str, Index] = {}
        self.templates = Templates()
        self.documents: list[StoredDocument] = []
        self._auto_ids = itertools.count()
        for number, pattern in enumerate(data_streams):
            body = {"index_patterns": [pattern], "data_stream": {}}
            self.templates.put_index(f"data-stream-{number}", body)

    def create(self, name: str, body: Json | None = None) -> Index:
        """A new index from its template and `body` (`settings`, `mappings`)."""
        template = self.templates.find(name)
        is_data_stream = self.is_for_data_stream(name)
        backing_name = f".ds-{name}-{BACKING_DATE}-000001" if is_data_stream else name
        index = Index(name, backing_name, is_data_stream)
        for part in (self.templates.compose(template) if template else {}, body or {}):
            index.put_mappings(part.get("mappings", {}))
            index.put_settings(part.get("settings", {}))
        self.by_name[name] = index
        return index

    def is_for_data_stream(self, name: str) -> bool:
        template = self.templates.find(name)
        return template is not None and "data_stream" in template

    def apply(self, operation: Operation) -> Json:
        """Does what the operation says and gives its entry of `items`, without the action."""
        index = self.by_name.get(operation.index)
        if index is None:
            reason = invalid_name_reason(operation.index)
            if reason:
                return items.invalid_name(operation, reason)
            if operation.action != "create" and self.is_for_data_stream(operation.index):
                return items.only_create(operation, is_missing=True)
            index = self.create(operation.index)
        refused = _find_refusal(index, operation)
        if refused:
            return refused
        if operation.action == "delete":
            return _delete(index, operation.id or "")
        if operation.action == "update":
            return self._update(index, operation, operation.id or "")
        return self._index(index, operation)

    def _index(self, index: Index, operation: Operation) -> Json:
        id = operation.id
        if id is None:
            id = f"auto-{next(self._auto_ids):015d}"
        refused = _find_unfit_source(index, operation.source, id)
        if refused:
            return refused
        existing = index.find(id)
        if existing and operation.action == "create":
            return _conflict(index, operation, existing[0])
        document = StoredDocument(operation.index, id, operation.action, operation.source)
        self.documents.append(document)
        if existing:
            return index.store(id, operation.source, "updated", 200)
        return index.store(id, operation.source, "created", 201)

    def _update(self, index: Index, operation: Operation, id: str) -> Json:
        change = orjson.loads(operation.source)
        existing = index.find(id)
        if existing:
            before = orjson.loads(existing[1])
            after = merge(before, change.get("doc", {}))
            if after == before:
                return index.item(id, existing[0], "noop", 200)
            return self._index(index, replace(operation, source=orjson.dumps(after)))
        upsert = change.get("doc") if change.get("doc_as_upsert") else change.get("upsert")
        if upsert is not None:
            return self._index(index, replace(operation, source=orjson.dumps(upsert)))
        type, reason = "document_missing_exception", f"[{id}]: document missing"
        return items.shard_failure(operation, 404, type, reason, index.backing_name, index.uuid)


def _delete(index: Index, id: str) -> Json:
    if index.find(id):
        return index.store(id, None, "deleted", 200)
    return index.store(id, None, "not_found", 404)


def _find_refusal(index: Index, operation: Operation) -> Json | None:
    if index.is_data_stream and operation.action != "create":
        return items.only_create(operation, is_missing=False)
    blocks = index.settings.get("index", {}).get("blocks", {})
    for block in ("write", "read_only_allow_delete"):
        if blocks.get(block) == "true":
            return items.blocked(operation, index.backing_name, is_flood=block != "write")
    return items.empty_id(operation) if operation.id == "" else None


def _find_unfit_source(index: Index, source: bytes, id: str) -> Json | None:
    """Why the source line can't be indexed: not JSON, no timestamp, a value that doesn't fit."""
    if not source:
        return items.unparsable(index.backing_name, id, "[1:1] failed to parse, document is empty")
    try:
        document = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        return items.not_json(index.backing_name, id, error)
    if not isinstance(document, dict):
        reason = "Malformed content, must start with an object"
        return items.unparsable(index.backing_name, id, reason)
    if index.is_data_stream and "@timestamp" not in document:
        reason = "[1:1] failed to parse: data stream timestamp field [@timestamp] is missing"
        return items.unparsable(index.backing_name, id, reason, "illegal_argument_exception")
    unfit = find_unfit(document, index.fields) if index.fields else None
    return items.unfit_value(index.backing_name, id, unfit) if unfit else None


def _conflict(index: Index, operation: Operation, number: int) -> Json:
    reason = (
        f"[{operation.id}]: version conflict, document already exists (current version [{number}])"
    )
    type = "version_conflict_engine_exception"
    return items.shard_failure(operation, 409, type, reason, index.backing_name, index.uuid)

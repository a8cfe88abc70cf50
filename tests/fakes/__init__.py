"""Servers that stand in for an Elasticsearch in the tests and do what a healthy one never would."""

from tests.fakes.bulk_body import Operation
from tests.fakes.indices import StoredDocument
from tests.fakes.script import (
    FOREVER,
    Item,
    Moment,
    Step,
    answer_items,
    breaker_tripped,
    failure_store_used,
    flood_stage,
    forbidden,
    refuse,
    rejected,
    reset,
    slow,
    unavailable_shards,
    unparsable,
    write_blocked,
)
from tests.fakes.scripted_elasticsearch import BulkRequest, ScriptedElasticsearch

__all__ = [
    "FOREVER",
    "BulkRequest",
    "Item",
    "Moment",
    "Operation",
    "ScriptedElasticsearch",
    "Step",
    "StoredDocument",
    "answer_items",
    "breaker_tripped",
    "failure_store_used",
    "flood_stage",
    "forbidden",
    "refuse",
    "rejected",
    "reset",
    "slow",
    "unavailable_shards",
    "unparsable",
    "write_blocked",
]

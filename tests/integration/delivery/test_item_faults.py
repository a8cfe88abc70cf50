"""Whatever Elasticsearch answers for an item: what failed is sent again, misfits are kept."""

import itertools
from collections import Counter
from dataclasses import dataclass, replace

import orjson
import pytest

from tests.fakes import (
    Item,
    Operation,
    ScriptedElasticsearch,
    Step,
    answer_items,
    breaker_tripped,
    flood_stage,
    forbidden,
    rejected,
    unavailable_shards,
    unparsable,
    write_blocked,
)
from tests.integration.delivery.rig import SENT, assert_each_once, dead, post_in_parts
from tests.numbered import lines, numbers_in
from tests.service import Service


@dataclass(frozen=True)
class Fault:
    """What is answered for a document at its first attempt."""

    id: str
    item: Item
    is_again: bool = False
    is_dead: bool = False


def faults_for(index: str) -> list[Fault]:
    return [
        Fault("created", Item(201)),
        Fault("queue_full", rejected(), is_again=True),
        Fault("breaker", breaker_tripped(), is_again=True),
        Fault("flood_stage", flood_stage(index), is_again=True),
        Fault("unparsable", unparsable(), is_dead=True),
        Fault("write_block", write_blocked(index), is_again=True),
        Fault("forbidden", forbidden(index), is_again=True),
        Fault(
            "no_such_index",
            Item(404, {"type": "index_not_found_exception", "reason": "no such index"}),
            is_again=True,
        ),
        Fault("no_shard", unavailable_shards(index), is_again=True),
        Fault("stored_though_503", replace(unavailable_shards(index), is_stored=True), True),
        Fault(
            "conflict",
            Item(409, {"type": "version_conflict_engine_exception", "reason": ""}, is_stored=True),
        ),
    ]


def scripted(index: str) -> Step:
    """Each document gets the fault of its number, over and over again."""
    faults = faults_for(index)

    def item(position: int, operation: Operation, source: bytes) -> Item | None:
        fault = faults[orjson.loads(source)["n"] % len(faults)]
        return None if fault.id == "created" else fault.item

    return answer_items(item)


def test_only_what_failed_is_sent_again(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    faults = faults_for(index_name)
    count = 2 * len(faults)  # less than flush_documents: one bulk request
    es.script(scripted(index_name))
    before = len(es.bulk_requests)
    assert service.post(lines(range(count)), index=index_name).status == 202
    assert_each_once(service, es, index_name, count)
    first, second = (numbers_in(request.sources) for request in es.bulk_requests[before:])
    assert first == Counter(range(count))
    again = [n for n in range(count) if faults[n % len(faults)].is_again]
    assert second == Counter(again)
    expected_dead = [n for n in range(count) if faults[n % len(faults)].is_dead]
    assert dead(service, index_name) == Counter(expected_dead)


@pytest.mark.parametrize("times", [1, 3, 6])
def test_failing_items_in_many_batches_are_delivered_once(
    times: int, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(*itertools.repeat(scripted(index_name), times))
    post_in_parts(service, index_name, part=7)
    assert_each_once(service, es, index_name, SENT)


def test_dead_letter_keeps_the_document_as_it_was_sent(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    document = b'{"n":1, "big":18446744073709551616,"e":1e5, "z":0, "a":"\\u00e4"}'
    es.script(answer_items({0: unparsable("does not fit")}))
    assert service.post(document + b"\n", index=index_name, ack="indexed").status == 200
    files = (service.data_dir / "dead-letters").glob("*.ndjson")
    written = [line for file in files for line in file.read_bytes().splitlines()]
    (line,) = (line for line in written if index_name.encode() in line)
    assert document in line
    letter = orjson.loads(line)
    assert (letter["target"], letter["action"], letter["status"]) == (index_name, "create", 400)
    assert letter["error"] == {"type": "document_parsing_exception", "reason": "does not fit"}
    assert letter["attempts"] == 1


def test_documents_counts_follow_their_outcomes(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    before = service.documents()
    conflict = Item(409, {"type": "version_conflict_engine_exception"}, is_stored=True)
    es.script(answer_items({0: unparsable(), 1: conflict, 2: rejected()}))
    answer = service.post(lines(range(5)) + b"x\n", index=index_name, ack="indexed")
    after = service.wait_until_settled()
    changes = {term: after[term] - before[term] for term in after if after[term] != before[term]}
    outcomes = {"rejected": 1, "dead_letter": 1, "duplicate": 1, "indexed": 3}
    assert changes == {"received": 6, **outcomes}
    assert [item["position"] for item in answer.json["items"]] == [0, 5]

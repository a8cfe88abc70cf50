"""Whatever is encoded reads back by Elasticsearch's grammar of bulk requests."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ingest.chunk import Chunk, Lot, halve, pairs, part
from ingest.encoder import encode
from ingest.model import Action, IdMode, Target
from ingest.short_id import short_id
from tests.delivery_rig import CountingReceipt

ID_BYTES_MAX = 512


def read_bulk(bulk: bytes) -> list[tuple[str, dict[str, Any], bytes]]:
    """(action, its arguments, source) of each document, as strictly as Elasticsearch reads."""
    assert bulk.endswith(b"\n")
    lines = bulk.split(b"\n")[:-1]
    assert len(lines) % 2 == 0
    documents = []
    for action_line, source in zip(lines[0::2], lines[1::2], strict=True):
        [(action, arguments)] = json.loads(action_line).items()
        assert action in ("create", "index")
        assert set(arguments) <= {"_index", "_id", "routing", "pipeline"}
        if "_id" in arguments:
            assert 1 <= len(arguments["_id"].encode()) <= ID_BYTES_MAX
        assert isinstance(json.loads(source), dict)
        documents.append((action, arguments, source))
    return documents


names = st.text("abcé-.0", min_size=1, max_size=12)
own_ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
sources = st.dictionaries(
    st.text(max_size=4), st.integers() | st.text(st.characters(exclude_categories=["Cs"]))
).map(lambda document: json.dumps(document, ensure_ascii=False).encode())
lines = st.builds(lambda source, end: source + end, sources, st.sampled_from([b"\n", b"\r\n"]))


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """As the router makes them: a target's head is complete, or up to its id."""
    name = draw(names)
    action: Action = draw(st.sampled_from(["create", "index"]))
    mode: IdMode = draw(st.sampled_from(["assigned", "own", "elasticsearch"]))
    arguments = {"_index": name} | ({"routing": "é\n"} if draw(st.booleans()) else {})
    if mode == "own":
        arguments["_id"] = draw(own_ids)
    head = json.dumps({action: arguments}, ensure_ascii=False).encode()
    head = head[:-2] + b',"_id":"' if mode == "assigned" else head + b"\n"
    return Target(name, action, mode, head)


documents = st.lists(st.tuples(lines, targets()), max_size=12)
PREFIX = short_id(UUID(int=2**128 - 1)).encode()


@given(st.lists(documents, max_size=3))
def test_chunks_read_back_as_what_was_encoded(chunks: list[list[tuple[bytes, Target]]]) -> None:
    assigned = []
    for number, chunk in enumerate(chunks):
        bulk = encode(
            [line for line, _ in chunk], [t for _, t in chunk], b"%b%x" % (PREFIX, number)
        )
        read = read_bulk(bulk) if chunk else []
        assert len(read) == len(chunk)
        for (line, target), (action, arguments, source) in zip(chunk, read, strict=True):
            assert source + b"\n" == line
            assert (action, arguments["_index"]) == (target.action, target.name)
            assert ("_id" in arguments) == (target.id_mode != "elasticsearch")
            if target.id_mode == "assigned":
                assigned.append(arguments["_id"])
    assert len(assigned) == len(set(assigned))


@given(st.integers(0, 2**64), st.integers(0, 2**64), st.integers(0, 8191), st.integers(0, 8191))
def test_ids_of_different_places_differ(first: int, second: int, one: int, other: int) -> None:
    ids = {b"%b%x.%x" % (PREFIX, chunk, place) for chunk, place in ((first, one), (second, other))}
    assert len(ids) == (1 if (first, one) == (second, other) else 2)


def chunk_from(content: Sequence[tuple[bytes, Target]]) -> Chunk:
    bulk = encode([line for line, _ in content], [target for _, target in content], PREFIX)
    count = len(content)
    places = range(100, 100 + count)
    return Chunk(bulk, count, Lot(CountingReceipt(count), count), places, places)


@given(documents, st.data())
def test_parts_partition_a_chunk(content: list[tuple[bytes, Target]], data: st.DataObject) -> None:
    chunk = chunk_from(content)
    in_first = data.draw(st.lists(st.booleans(), min_size=len(content), max_size=len(content)))
    chosen = [[i for i, mine in enumerate(in_first) if mine is which] for which in (True, False)]
    halves = [part(chunk, indices, 1) for indices in chosen]
    whole = pairs(chunk.bulk)
    assert b"".join(whole) == chunk.bulk
    assert len(whole) == chunk.count
    for indices, each in zip(chosen, halves, strict=True):
        assert pairs(each.bulk) == [whole[i] for i in indices]
        assert each.positions == each.sequences == [100 + i for i in indices]
    assert sum(len(each.bulk) for each in halves) == len(chunk.bulk)


@given(documents)
def test_halving_goes_down_to_single_documents(content: list[tuple[bytes, Target]]) -> None:
    def leaves(chunk: Chunk) -> list[Chunk]:
        return [chunk] if chunk.count < 2 else [x for half in halve(chunk) for x in leaves(half)]

    chunk = chunk_from(content)
    singles = leaves(chunk)
    assert b"".join(each.bulk for each in singles) == chunk.bulk
    assert [p for each in singles for p in each.positions] == list(chunk.positions)

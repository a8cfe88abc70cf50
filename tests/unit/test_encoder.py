"""The bytes of a bulk request, to the letter."""

import pytest

from ingest.encoder import CHUNK_DOCUMENTS_MAX, encode
from ingest.model import Target

ASSIGNED = Target("logs", "create", "assigned", b'{"create":{"_index":"logs","_id":"')
OWN = Target("logs", "index", "own", b'{"index":{"_index":"logs","_id":"mine"}}\n')
ELASTICSEARCH = Target("metrics", "create", "elasticsearch", b'{"create":{"_index":"metrics"}}\n')


def test_assigned_ids_are_prefix_and_place() -> None:
    lines = [b'{"n":%d}\n' % n for n in range(2)]
    assert encode(lines, [ASSIGNED] * 2, b"W7") == (
        b'{"create":{"_index":"logs","_id":"W7.0"}}\n{"n":0}\n'
        b'{"create":{"_index":"logs","_id":"W7.1"}}\n{"n":1}\n'
    )


def test_places_count_over_documents_of_all_modes() -> None:
    lines = [b'{"n":%d}\n' % n for n in range(4)]
    bulk = encode(lines, [ELASTICSEARCH, ASSIGNED, OWN, ASSIGNED], b"p")
    assert bulk == (
        b'{"create":{"_index":"metrics"}}\n{"n":0}\n'
        b'{"create":{"_index":"logs","_id":"p.1"}}\n{"n":1}\n'
        b'{"index":{"_index":"logs","_id":"mine"}}\n{"n":2}\n'
        b'{"create":{"_index":"logs","_id":"p.3"}}\n{"n":3}\n'
    )


@pytest.mark.parametrize("targets", [[OWN], [ELASTICSEARCH]])
def test_complete_heads_get_no_id(targets: list[Target]) -> None:
    assert encode([b"{}\n"], targets, b"p") == targets[0].head + b"{}\n"


def test_a_chunk_may_have_as_many_documents_as_it_says() -> None:
    count = CHUNK_DOCUMENTS_MAX
    bulk = encode([b"{}\n"] * count, [ASSIGNED] * count, b"p")
    ids = [line.split(b'"')[-2] for line in bulk.splitlines()[0::2]]
    assert len(set(ids)) == count
    assert ids[-1] == b"p.%x" % (count - 1)


def test_nothing_is_encoded_to_nothing() -> None:
    assert encode([], [], b"p") == b""

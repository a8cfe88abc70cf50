"""Bodies over a limit and damaged ones are refused; what was read before stays accepted."""

import gzip
from collections.abc import Callable

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.integration.streaming.rig import (
    BODY_BYTES_MAX,
    BUFFER_BYTES,
    Send,
    accepted_of,
    answer_to,
    documents,
    each_way,
    joined,
    send_chunked,
    send_with_length,
    stored,
)
from tests.service import Service


def test_body_that_expands_too_much_is_refused(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    bomb = gzip.compress(joined([b'{"n":%d,"zeros":"%b"}' % (n, b"0" * 9000) for n in range(400)]))
    answer = answer_to(
        service,
        send_with_length,
        f"/ingest?index={index_name}",
        bomb,
        **{"content-encoding": "gzip"},
    )
    assert answer.status == 413
    assert "max_decompression_ratio" in answer.json["error"]["reason"]
    es.wait_until(lambda: len(stored(es, index_name)) == accepted_of(answer))


@each_way
def test_body_over_the_limit_is_refused_and_what_was_read_stays_accepted(
    send: Send, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    lines = documents(BODY_BYTES_MAX // 1000 + 100, 1000)
    answer = answer_to(service, send, f"/ingest?index={index_name}", joined(lines))
    assert answer.status == 413
    assert "max_body_bytes" in answer.json["error"]["reason"]
    accepted = accepted_of(answer)
    assert (accepted > 0) == (send is not send_with_length)
    es.wait_until(lambda: len(es.sources(index_name)) == accepted)
    assert stored(es, index_name) == lines[:accepted]


def cut(packed: bytes) -> bytes:
    return packed[: len(packed) * 3 // 4]


def cut_before_the_checksum(packed: bytes) -> bytes:
    return packed[:-8]


def wrong_checksum(packed: bytes) -> bytes:
    return packed[:-8] + bytes(8)


def with_rubbish_behind(packed: bytes) -> bytes:
    return packed + b"rubbish that is no gzip member"


@pytest.mark.parametrize(
    "damage", [cut, cut_before_the_checksum, wrong_checksum, with_rubbish_behind]
)
@pytest.mark.parametrize("send", [send_with_length, send_chunked])
def test_damaged_gzip_is_refused_and_complete_lines_stay_accepted(
    damage: Callable[[bytes], bytes],
    send: Send,
    service: Service,
    es: ScriptedElasticsearch,
    index_name: str,
) -> None:
    lines = documents(10 * BUFFER_BYTES // 200)
    body = damage(gzip.compress(joined(lines)))
    target = f"/ingest?index={index_name}"
    answer = answer_to(service, send, target, body, **{"content-encoding": "gzip"})
    assert (answer.status, answer.json["error"]["type"]) == (400, "damaged_body")
    accepted = accepted_of(answer)
    assert 0 < accepted <= len(lines)
    es.wait_until(lambda: len(es.sources(index_name)) == accepted)
    assert stored(es, index_name) == lines[:accepted]

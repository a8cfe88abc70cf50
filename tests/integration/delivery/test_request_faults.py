"""Whatever Elasticsearch answers to a whole bulk request, each document is delivered once."""

from collections import Counter

import pytest

from tests.fakes import FOREVER, ScriptedElasticsearch, Step, refuse, reset, slow, unparsable
from tests.integration.delivery.rig import (
    REQUEST_TIMEOUT_S,
    SENT,
    assert_each_once,
    dead,
    post_in_parts,
)
from tests.numbered import lines
from tests.service import Service

JSON_HEADERS = {"x-elastic-product": "Elasticsearch", "content-type": "application/json"}
NOT_ELASTICSEARCH = Step(status=200, body=b"{}", headers={"content-type": "application/json"})
EMPTY = Step(status=200, body=b"", headers=JSON_HEADERS)
NO_ITEMS = Step(status=200, body=b'{"errors":false}', headers=JSON_HEADERS)
FAULTS: dict[str, list[Step]] = {
    "healthy": [],
    "429": [refuse(429, times=3)],
    "401_for_a_while": [refuse(401, times=2)],
    "403_for_a_while": [refuse(403, times=2)],
    "404_of_a_proxy": [refuse(404, times=2)],
    "500": [refuse(500, times=2)],
    "502_html": [refuse(502, times=2)],
    "503_html": [refuse(503, times=3)],
    "503_but_indexed": [refuse(503, is_applied=True), refuse(503, is_applied=True)],
    "504_but_indexed": [refuse(504, is_applied=True)],
    "413": [refuse(413, times=4)],
    "413_in_turn_with_429": [refuse(413), refuse(429), refuse(413), refuse(429), refuse(413)],
    "400_once": [refuse(400)],
    "reset_before": [reset("before_body", times=3)],
    "reset_during_body": [reset("during_body", times=3)],
    "reset_after": [reset("after_body", times=3)],
    "reset_during_answer": [reset("during_answer", times=2)],
    "cut_answer": [Step(is_cut=True, times=2)],
    "items_short": [Step(items_delta=-1, times=2)],
    "items_long": [Step(items_delta=1, times=2)],
    "no_items": [NO_ITEMS],
    "empty_answer": [EMPTY],
    "not_elasticsearch": [NOT_ELASTICSEARCH],
    "gzip_answers": [Step(gzip=True, times=FOREVER)],
    "gzip_cut": [Step(gzip=True, is_cut=True, times=2)],
    "slow_in_the_middle": [Step(delay_middle_s=0.3, times=2)],
    "slower_than_the_timeout": [slow(REQUEST_TIMEOUT_S + 0.5)],
    "slow_reader": [Step(delay_reading_s=REQUEST_TIMEOUT_S + 0.5)],
    "one_after_the_other": [
        *(reset("after_body"), refuse(429), Step(is_cut=True), refuse(503), refuse(413)),
        *(Step(items_delta=-3), reset("before_body"), Step(gzip=True), refuse(502)),
    ],
}


@pytest.mark.parametrize("steps", FAULTS.values(), ids=list(FAULTS))
@pytest.mark.parametrize("ack", ["memory", "durable"])
def test_everything_is_delivered_once_despite_faults(
    ack: str, steps: list[Step], service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(*steps)
    post_in_parts(service, index_name, ack=ack)
    assert_each_once(service, es, index_name, SENT)
    assert dead(service, index_name) == Counter()


def test_endless_400_for_whole_requests_ends_in_dead_letters(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(refuse(400, times=FOREVER))
    post_in_parts(service, index_name)
    assert_each_once(service, es, index_name, SENT)
    assert dead(service, index_name) == Counter(range(SENT))


def test_thousands_of_refused_documents_are_a_few_log_lines(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    said = service.said.count("refused documents")
    es.set_default(Step(items=lambda position, operation, source: unparsable()))
    for _ in range(30):
        assert service.post(lines(range(100)), index=index_name, ack="indexed").status == 200
    assert len([each for each in service.dead_letters() if each["target"] == index_name]) == 3000
    assert service.said.count("refused documents") - said <= 3


def test_request_that_is_too_large_is_halved_until_it_fits(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.script(refuse(413, times=4))
    assert service.post(lines(range(20)), index=index_name).status == 202
    assert_each_once(service, es, index_name, 20)
    assert dead(service, index_name) == Counter()


def test_stopped_elasticsearch_gets_everything_when_it_is_back(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    es.stop()
    try:
        post_in_parts(service, index_name)
        assert service.get("/readyz").status == 200
        assert service.documents()["in_memory"] == SENT
    finally:
        es.start()
    assert_each_once(service, es, index_name, SENT)

"""Ack levels: how they are chosen, and what is true when the answer comes."""

from typing import Any

import pytest

from tests.fakes import ScriptedElasticsearch
from tests.integration.ingest_http.rig import each_ack
from tests.service import Service


@pytest.mark.parametrize("way", ["query", "header", "upper_case"])
@each_ack
def test_ack_level_is_chosen_by_query_or_header(
    ack: str, status: int, way: str, service: Service, index_name: str
) -> None:
    level = ack.upper() if way == "upper_case" else ack
    query: dict[str, Any] = {} if way == "header" else {"ack": level}
    headers = {"Ingest-Ack": level} if way == "header" else {}
    answer = service.post(b"{}\n", headers=headers, index=index_name, **query)
    assert (answer.status, answer.json["ack"]) == (status, ack)


def test_default_ack_is_durable(service: Service, index_name: str) -> None:
    answer = service.post(b"{}\n", index=index_name)
    assert (answer.status, answer.json["ack"]) == (202, "durable")


def test_query_wins_over_header(service: Service, index_name: str) -> None:
    answer = service.post(
        b"{}\n", headers={"Ingest-Ack": "indexed"}, index=index_name, ack="memory"
    )
    assert (answer.status, answer.json["ack"]) == (202, "memory")


def test_documents_can_be_found_when_the_indexed_answer_comes(
    service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    for count in range(1, 21):
        assert service.post(b"{}\n", index=index_name, ack="indexed").status == 200
        assert len(es.sources(index_name)) == count


@pytest.mark.parametrize("ack", ["memory", "durable"])
def test_documents_acked_before_they_are_indexed_arrive(
    ack: str, service: Service, es: ScriptedElasticsearch, index_name: str
) -> None:
    assert service.post(b"{}\n" * 500, index=index_name, ack=ack).status == 202
    es.wait_until(lambda: len(es.sources(index_name)) == 500)

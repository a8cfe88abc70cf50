"""JSON answers with the headers of a node, filtered by `filter_path` where they succeed."""

from typing import Any

import orjson

from tests.fakes import filter_path
from tests.fakes.http_server import Answer, Head


def json_answer(head: Head, status: int, body: Any) -> Answer:
    if "filter_path" in head.query and status == 200:
        body = filter_path.keep(body, filter_path.read_paths(head.query["filter_path"])) or {}
    return Answer(status, orjson.dumps(body), json_headers(head))


def json_headers(head: Head) -> dict[str, str]:
    accepted = head.headers.get("accept", "")
    is_vendor = accepted.startswith("application/vnd.elasticsearch+json")
    media_type = "application/vnd.elasticsearch+json;compatible-with=8"
    return {
        "X-elastic-product": "Elasticsearch",
        "content-type": media_type if is_vendor else "application/json",
    }

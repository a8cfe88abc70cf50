"""What a team would write in an afternoon: Starlette, orjson, `elasticsearch.helpers.async_bulk`.

It does the job decently: uvloop and httptools, a line is parsed once, broken lines are refused one
by one, each document goes to the index of its service, documents of one request are batched, the
answer comes after Elasticsearch has them (our `ack=indexed`). It has none of the rest: no spool,
no dead letters, no batching across requests, no limit on memory.

    python -m loadtest.peers.starlette_async_bulk --elasticsearch http://127.0.0.1:9200 --port 9290
"""

import argparse
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

import orjson
import uvicorn
from elastic_transport import AiohttpHttpNode, HttpxAsyncHttpNode
from elasticsearch import AsyncElasticsearch, OrjsonSerializer
from elasticsearch.helpers import async_bulk
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

BATCH_DOCUMENTS = 2_000
CONNECTIONS = 16
# the first is the faster one by far, for small posts, and what the client would choose itself
HTTP_CLIENT = AiohttpHttpNode if find_spec("aiohttp") else HttpxAsyncHttpNode

Item = dict[str, object]


def build(elasticsearch: str) -> Starlette:
    """The application; its client lives as long as it does."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.client = AsyncElasticsearch(
            elasticsearch,
            node_class=HTTP_CLIENT,
            connections_per_node=CONNECTIONS,
            serializer=OrjsonSerializer(),
        )
        yield
        await app.state.client.close()

    return Starlette(routes=[Route("/ingest", ingest, methods=["POST"])], lifespan=lifespan)


async def ingest(request: Request) -> Response:
    documents, refused = _parsed(await request.body())
    indexed, failed = await async_bulk(
        request.app.state.client,
        _actions(documents),
        chunk_size=BATCH_DOCUMENTS,
        raise_on_error=False,
        raise_on_exception=False,
    )
    assert isinstance(failed, list)
    answer = {
        "received": len(documents) + len(refused),
        "accepted": indexed,
        "rejected": len(refused) + len(failed),
        "errors": bool(refused or failed),
        "items": [*refused, *failed],
    }
    return Response(orjson.dumps(answer), 200 if indexed else 400, media_type="application/json")


def _parsed(body: bytes) -> tuple[list[dict[str, Any]], list[Item]]:
    documents: list[dict[str, Any]] = []
    refused: list[Item] = []
    for line in body.split(b"\n"):
        if line:
            try:
                documents.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                position = len(documents) + len(refused)
                refused.append({"position": position, "status": 400, "error": str(error)})
    return documents, refused


def _actions(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for document in documents:
        service = document.get("service", {}).get("name", "unknown")
        yield {"_op_type": "create", "_index": f"logs-{service}-default", "_source": document}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtest.peers.starlette_async_bulk")
    parser.add_argument("--elasticsearch", required=True, metavar="URL")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9290)
    arguments = parser.parse_args()
    uvicorn.run(
        build(arguments.elasticsearch),
        host=arguments.host,
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()

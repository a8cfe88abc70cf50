"""Documents with a number each, which a scripted Elasticsearch is searched for in the end."""

from collections import Counter
from collections.abc import Iterable

import orjson

from tests.fakes import ScriptedElasticsearch


def lines(numbers: Iterable[int]) -> bytes:
    return b"".join(b'{"n":%d}\n' % n for n in numbers)


def numbers_in(sources: Iterable[bytes]) -> Counter[int]:
    return Counter(orjson.loads(source)["n"] for source in sources)


def indexed(es: ScriptedElasticsearch, index: str | None = None) -> Counter[int]:
    """How often each number was written, to this index or to all together."""
    return numbers_in(document.source for document in es.documents(index))

"""What each kind of producer sends: bodies made once from the seeded corpus, and their fate.

bulk        NDJSON of many documents, in turn of several corpora
small       one document a post, as JSON or as NDJSON
gzip        bulk, compressed
array       a JSON array
oversized   NDJSON, each tenth document with a value longer than a term may be
malformed   each tenth line broken, or every line, or an array that can't be read at all
slow        NDJSON for a sender that takes a second for it
disconnect  NDJSON for a sender that leaves in the middle
"""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from loadtest import corpus

Kind = Literal["bulk", "small", "gzip", "array", "oversized", "malformed", "slow", "disconnect"]
KINDS: tuple[Kind, ...] = get_args(Kind)

NDJSON, JSON = "application/x-ndjson", "application/json"

_BODIES = 12  # of each kind: enough to meet every service, few enough to stay in memory
_BULK_CORPORA: tuple[corpus.Kind, ...] = ("logs", "logs", "logs", "varied", "multibyte", "wide")
_EACH = 10  # each tenth document is a special one


@dataclass(frozen=True, slots=True)
class Post:
    """One request, and what must be answered to it.

    `refused` are the positions of the documents that must be refused, None where nobody knows.
    A body that `is_unreadable` must be refused as a whole, with 400.
    """

    body: bytes
    documents: int
    refused: tuple[int, ...] | None = ()
    is_unreadable: bool = False
    media: str = NDJSON
    encoding: str = ""
    path: str = "/ingest"

    @property
    def headers(self) -> dict[str, str]:
        encoding = {"Content-Encoding": self.encoding} if self.encoding else {}
        return {"Content-Type": self.media, **encoding}


def posts(kind: Kind, seed: int, documents_per_body: int) -> list[Post]:
    """The posts of one kind, to be sent over and over; equal arguments give equal posts."""
    return _MAKERS[kind](seed, documents_per_body)


def _bulk(seed: int, size: int) -> list[Post]:
    return [
        _post(corpus.documents(_BULK_CORPORA[number % len(_BULK_CORPORA)], seed + number, size))
        for number in range(_BODIES)
    ]


def _small(seed: int, size: int) -> list[Post]:
    lines = corpus.documents("logs", seed, 8 * _BODIES)
    return [
        Post(line, 1, media=JSON) if number % 2 else _post([line])
        for number, line in enumerate(lines)
    ]


def _gzip(seed: int, size: int) -> list[Post]:
    return [
        replace(post, body=gzip.compress(post.body, compresslevel=1, mtime=0), encoding="gzip")
        for post in _bulk(seed, size)
    ]


def _array(seed: int, size: int) -> list[Post]:
    count = max(1, size // 5)  # an array must fit into one buffer of the service
    lines = corpus.documents("logs", seed, count * _BODIES)
    return [
        Post(b"[" + b",\n".join(some) + b"]", count, media=JSON) for some in _parts(lines, count)
    ]


def _oversized(seed: int, size: int) -> list[Post]:
    count = max(1, size // 5)
    bodies = _parts(corpus.documents("logs", seed, count * _BODIES), count)
    for lines in bodies:
        lines[::_EACH] = corpus.documents("oversized", seed, len(lines[::_EACH]))
    return [_post(lines) for lines in bodies]


def _malformed(seed: int, size: int) -> list[Post]:
    made = []
    for lines in _parts(corpus.documents("logs", seed, size * _BODIES), size):
        lines[::_EACH] = corpus.documents("malformed", seed, len(lines[::_EACH]))
        made.append(_post(lines, refused=range(0, size, _EACH)))
    broken = corpus.documents("malformed", seed, _EACH)
    all_refused = _post(broken, refused=range(len(broken)))
    unreadable = Post(b'[{"message":"no end"', 1, is_unreadable=True, media=JSON)
    return [*made, all_refused, unreadable]


def _short(seed: int, size: int) -> list[Post]:
    count = max(2, size // 5)
    return [_post(some) for some in _parts(corpus.documents("varied", seed, count * 4), count)]


_MAKERS: dict[Kind, Callable[[int, int], list[Post]]] = {
    "bulk": _bulk,
    "small": _small,
    "gzip": _gzip,
    "array": _array,
    "oversized": _oversized,
    "malformed": _malformed,
    "slow": _short,
    "disconnect": _short,
}


def _post(lines: Sequence[bytes], refused: Sequence[int] = ()) -> Post:
    return Post(corpus.body(lines), len(lines), tuple(refused))


def _parts(lines: list[bytes], size: int) -> list[list[bytes]]:
    return [lines[place : place + size] for place in range(0, len(lines), size)]

"""Prepared posts: what they claim to hold is what is in them."""

import gzip
import json

import pytest

from loadtest import posts
from loadtest.corpus import TERM_LIMIT_BYTES
from loadtest.posts import JSON, KINDS, Kind, Post

SIZE = 50


def lines(post: Post) -> list[bytes]:
    body = gzip.decompress(post.body) if post.encoding == "gzip" else post.body
    if post.media == JSON:
        value = json.loads(body)
        return [
            json.dumps(each).encode() for each in (value if isinstance(value, list) else [value])
        ]
    return body.splitlines()


def refused(found: list[bytes]) -> tuple[int, ...]:
    return tuple(place for place, line in enumerate(found) if not is_document(line))


def is_document(line: bytes) -> bool:
    try:
        value = json.loads(line, parse_constant=lambda name: [])
    except ValueError:
        return False
    return isinstance(value, dict) and [] not in value.values()


@pytest.mark.parametrize("kind", KINDS)
def test_documents_and_refused_positions_are_as_claimed(kind: Kind) -> None:
    for post in posts.posts(kind, 1, SIZE):
        if not post.is_unreadable:
            found = lines(post)
            assert (len(found), refused(found)) == (post.documents, post.refused)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_bytes(kind: Kind) -> None:
    assert posts.posts(kind, 7, SIZE) == posts.posts(kind, 7, SIZE)
    assert posts.posts(kind, 7, SIZE) != posts.posts(kind, 8, SIZE)


@pytest.mark.parametrize("size", [1, 2, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_small_bodies_hold_at_least_one_document(kind: Kind, size: int) -> None:
    assert all(post.documents >= 1 for post in posts.posts(kind, 1, size))


def test_oversized_posts_hold_values_over_the_limit_and_others() -> None:
    for post in posts.posts("oversized", 1, SIZE):
        long = [len(line) > TERM_LIMIT_BYTES for line in lines(post)]
        assert any(long)
        assert not all(long)


def test_headers_name_media_and_encoding() -> None:
    (post, *_) = posts.posts("gzip", 1, SIZE)
    assert post.headers == {
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "gzip",
    }

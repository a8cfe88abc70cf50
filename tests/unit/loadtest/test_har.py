"""A recording becomes load: bodies as they were sent, huge responses as oversized documents."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from loadtest import har
from loadtest.corpus import TERM_LIMIT_BYTES
from loadtest.posts import JSON, NDJSON, Post

LINES = '{"message":"größe"}\n\n{"message":"b"}\n'


def entry(
    text: str = "",
    media: str = NDJSON,
    url: str = "https://shop.example/ingest",
    response: str = "",
    encoding: str = "",
) -> dict[str, Any]:
    extra = {"encoding": encoding} if encoding else {}
    sent = {"postData": {"mimeType": media, "text": text, **extra}} if text else {}
    return {
        "startedDateTime": "2026-03-01T10:00:00.000Z",
        "request": {"method": "POST" if text else "GET", "url": url, **sent},
        "response": {"status": 200, "content": {"size": len(response), "text": response}},
    }


def recorded(tmp_path: Path, *entries: dict[str, Any]) -> list[Post]:
    path = tmp_path / "recording.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return har.posts(path)


def test_a_body_is_sent_as_it_was(tmp_path: Path) -> None:
    (post,) = recorded(tmp_path, entry(LINES, media=f"{NDJSON}; charset=utf-8"))
    assert post.body == LINES.encode()
    assert (post.documents, post.media) == (2, NDJSON)


@pytest.mark.parametrize(
    ("text", "documents", "is_unreadable"),
    [
        pytest.param('{"a":1}', 1, False, id="object"),
        pytest.param('[{"a":1},\n {"a":2}]', 2, False, id="array"),
        pytest.param('{"a":', 1, False, id="broken-object"),
        pytest.param(' [{"a":1},', 1, True, id="broken-array"),
    ],
)
def test_json_bodies_are_counted_in_documents(
    tmp_path: Path, text: str, documents: int, is_unreadable: bool
) -> None:
    (post,) = recorded(tmp_path, entry(text, media=JSON))
    assert (post.documents, post.is_unreadable) == (documents, is_unreadable)
    assert (post.body, post.media) == (text.encode(), JSON)


def test_binary_bodies_are_decoded(tmp_path: Path) -> None:
    text = base64.b64encode(b'{"message":"\xff"}\n').decode()
    (post,) = recorded(tmp_path, entry(text, encoding="base64"))
    assert post.body == b'{"message":"\xff"}\n'


@pytest.mark.parametrize(
    ("url", "path"),
    [
        pytest.param("https://a.example/ingest?index=x", "/ingest?index=x", id="query"),
        pytest.param("https://a.example/ingest/services", "/ingest/services", id="route"),
        pytest.param("https://a.example/ingested", "/ingest", id="another-path"),
        pytest.param("https://a.example/api/v1/events?a=1", "/ingest", id="another-service"),
    ],
)
def test_paths_of_the_service_are_kept(tmp_path: Path, url: str, path: str) -> None:
    (post,) = recorded(tmp_path, entry(LINES, url=url))
    assert post.path == path


@pytest.mark.parametrize(
    "skipped",
    [
        pytest.param(entry(), id="no-body"),
        pytest.param(entry("a=1&b=2", media="application/x-www-form-urlencoded"), id="form"),
        pytest.param(entry("\n \n"), id="only-blank-lines"),
        pytest.param(entry("[]", media=JSON), id="empty-array"),
        pytest.param(entry(response="x" * TERM_LIMIT_BYTES), id="response-of-a-term"),
    ],
)
def test_what_holds_no_document_is_left_out(tmp_path: Path, skipped: dict[str, Any]) -> None:
    (post,) = recorded(tmp_path, skipped, entry(LINES))
    assert post.body == LINES.encode()
    with pytest.raises(ValueError, match=r"recording\.har: no request holds documents"):
        recorded(tmp_path, skipped)


def test_a_huge_response_becomes_an_oversized_document(tmp_path: Path) -> None:
    content = "ä" * (TERM_LIMIT_BYTES // 2 + 1)  # fewer characters than the limit, more bytes
    (post,) = recorded(tmp_path, entry(response=content, url="https://cdn.example/app.js"))
    assert post.body.count(b"\n") == post.documents == 1
    document = json.loads(post.body)
    assert document["http"]["response"]["body"]["content"] == content
    assert document["service"]["name"] == "cdn.example"


def test_posts_keep_the_order_of_the_recording(tmp_path: Path) -> None:
    huge = "x" * (TERM_LIMIT_BYTES + 1)
    found = recorded(tmp_path, entry('{"n":1}\n'), entry('{"n":2}\n', response=huge), entry("1\n"))
    assert [post.body[:8] for post in found] == [b'{"n":1}\n', b'{"n":2}\n', b'{"@times', b"1\n"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"log":{}}', "not json", '{"log":{"entries":[{}]}}', '{"log":{"entries":[1]}}'],
)
def test_what_is_not_a_recording_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"other\.json: not a HAR file"):
        har.posts(path)

"""Requests to a node, real or scripted, and their answers made comparable.

What differs from one answer to the next is made equal, the rest is left as it is.
"""

import gzip
import http.client
import json
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}
TIMEOUT_S = 10
COMPARED_HEADERS = ("x-elastic-product", "content-type", "content-encoding")
AUTOMATIC_ID = re.compile(r"^[\w-]{20}$|^auto-generated$")
VOLATILE_TEXT = (
    (re.compile(r"\[\d+:\d+\]"), "[line:column]"),
    (re.compile(r"(\.ds-.*)-\d{4}\.\d\d\.\d\d-"), r"\1-DATE-"),
    (re.compile(r"/[\w-]{22}\]"), "/UUID]"),
    (re.compile(r"; for more information, see [^\]]*"), ""),
)
ONLY_IN_9 = ("created_date_millis", "modified_date_millis")
JSON_READERS = ("x_content_", "json_")


@dataclass(frozen=True)
class Answered:
    """A masked answer; `status` None where the connection was closed without one."""

    status: int | None
    headers: dict[str, str | None]
    body: Any


def send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: str | bytes,
    headers: dict[str, str],
) -> Answered:
    """One request and its masked answer."""
    content = body.encode() if isinstance(body, str) else body
    try:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
    except ConnectionError:
        return Answered(None, {}, None)
    content = response.read()
    if response.headers["content-encoding"] == "gzip":
        content = gzip.decompress(content)
    kept = {each: response.headers[each] for each in COMPARED_HEADERS}
    return Answered(response.status, kept, masked(json.loads(content)) if content else None)


def bulk(
    url: str,
    body: str | bytes,
    *,
    timeout_s: float = TIMEOUT_S,
    headers: dict[str, str] | None = None,
) -> Answered:
    """One bulk request on a connection of its own. Raises TimeoutError."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        return send(connection, "POST", "/_bulk", body, NDJSON | (headers or {}))
    finally:
        connection.close()


def statuses(answered: Answered) -> list[int]:
    """Those of the items, in order."""
    return [entry["status"] for item in answered.body["items"] for entry in item.values()]


def send_raw(url: str, head: str, body: bytes) -> tuple[bytes, bool]:
    """The raw start of the answer to a bulk request, and whether the connection stays open."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), TIMEOUT_S) as peer:
        peer.sendall(f"POST /_bulk HTTP/1.1\r\nhost: node\r\n{head}\r\n\r\n".encode() + body)
        answer = peer.recv(1 << 16)
        peer.settimeout(0.2)
        try:
            return answer, peer.recv(1) != b""
        except TimeoutError:
            return answer, True


def masked(answer: Any) -> Any:
    """A copy without times, generated ids, places in a line and a JSON reader's own words."""
    if isinstance(answer, list):
        return [masked(element) for element in answer]
    if isinstance(answer, str):
        return _masked_text(answer)
    if not isinstance(answer, dict):
        return answer
    lasting = {name: value for name, value in answer.items() if name not in ONLY_IN_9}
    copy = {name: _masked_entry(name, value) for name, value in lasting.items()}
    if _is_of_json_reader(copy):
        copy["reason"] = "JSON"
    return copy


def _masked_entry(name: str, value: Any) -> Any:
    if name == "took":
        return 0
    if name == "index_uuid" and value != "_na_":
        return "UUID"
    if name == "_id" and isinstance(value, str):
        return AUTOMATIC_ID.sub("AUTOMATIC", value)
    return masked(value)


def _masked_text(text: str) -> str:
    for pattern, replacement in VOLATILE_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _is_of_json_reader(entry: dict[str, Any]) -> bool:
    """An error whose text a JSON library wrote, here or in its cause."""
    types = [entry.get("type"), (entry.get("caused_by") or {}).get("type")]
    return any(isinstance(each, str) and each.startswith(JSON_READERS) for each in types)

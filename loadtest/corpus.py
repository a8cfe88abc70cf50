"""Documents to send: seeded, of several kinds, the same bytes on every Python version.

    logs        nested access logs, 415 bytes on average, 8 services: for every published figure
    varied      nested logs of 200 bytes to 2 KB
    wide        100 fields
    long_text   one text of 4 to 30 KB, below the limit of a term
    multibyte   text of 2-, 3- and 4-byte characters
    oversized   one value of more than 32,766 UTF-8 bytes, in different places
    malformed   lines that are not one JSON object, for different reasons

Only `Random.random()` promises the same sequence in every version, so everything is drawn from it.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Literal, TypeVar, get_args

Kind = Literal["logs", "varied", "wide", "long_text", "multibyte", "oversized", "malformed"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SERVICES = ("checkout", "catalog", "payment", "search", "basket", "account", "shipping", "gateway")
TERM_LIMIT_BYTES = 32_766  # Lucene's longest term, in UTF-8 bytes

_LEVELS = ("info",) * 7 + ("debug", "warn", "error")
_METHODS = ("GET", "GET", "GET", "POST", "PUT", "DELETE")
_STATUSES = (200, 200, 200, 201, 204, 301, 400, 404, 500, 503)
_AGENTS = ("curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64)", "okhttp/4.12.0", "Go-http-client/2.0")
_WORDS = ("order", "stock", "price", "item", "user", "cart", "token", "cache", "retry", "queue")
_GLYPHS = "äöüßéñøçλжד" + "日本語検索東京大阪" + "😀🚀🔎📦🧪"

# each is refused as one document, whatever parser reads it
_BROKEN = (
    b'{"message":"no end"',
    b'{"message":"no end of the text}',
    b'{"message":"trailing",}',
    b'{"message":"twice"}{"message":"in one line"}',
    b"{'message':'wrong quotes'}",
    b'{"message":1e}',
    b'{"message":"\\x41"}',
    b'{"message":"\xff\xfe"}',
    b'{"message":"\x01"}',
    b'{"message":NaN}',
    b'["not","an","object"]',
    b'"only a text"',
    b"plain text, not JSON at all",
)

Fields = dict[str, object]
Choice = TypeVar("Choice")


def documents(kind: Kind, seed: int, count: int) -> list[bytes]:
    """`count` lines without line breaks, as bytes; equal arguments give equal bytes."""
    random = Random(f"{kind}/{seed}")
    make = _MAKERS[kind]
    return [make(random, number) for number in range(count)]


def body(lines: Sequence[bytes]) -> bytes:
    """The lines as NDJSON, each with its line break; empty without lines."""
    return b"\n".join([*lines, b""])


def _log(random: Random, number: int) -> bytes:
    return _encode(_log_fields(random, number))


def _varied(random: Random, number: int) -> bytes:
    if random.random() < 0.2:
        return _encode(_short_log_fields(random, number))
    fields = _log_fields(random, number)
    fields["error"] = {"stack_trace": _words(random, int(random.random() ** 3 * 265))}
    return _encode(fields)


def _wide(random: Random, number: int) -> bytes:
    fields: Fields = {
        "@timestamp": _timestamp(number),
        "service": {"name": _pick(random, SERVICES)},
    }
    for place in range(98):
        fields[f"field_{place:02}"] = _scalar(random, place)
    return _encode(fields)


def _long_text(random: Random, number: int) -> bytes:
    fields = _short_log_fields(random, number)
    fields["message"] = _words(random, 650 + _below(random, 4_000))
    return _encode(fields)


def _multibyte(random: Random, number: int) -> bytes:
    fields = _short_log_fields(random, number)
    fields["message"] = "".join(_pick(random, _GLYPHS) for _ in range(20 + _below(random, 200)))
    fields["größe"] = {"城市": _pick(random, ("東京", "大阪", "São Paulo", "København"))}
    return _encode(fields)


def _oversized(random: Random, number: int) -> bytes:
    fields = _short_log_fields(random, number)
    excess = 1 + _below(random, 20_000)
    text = "x" * (TERM_LIMIT_BYTES + excess)
    match number % 5:
        case 0:
            fields["blob"] = text
        case 1:
            fields["blob"] = "語" * (TERM_LIMIT_BYTES // 3 + excess)
        case 2:
            fields["request"] = {"headers": {"cookie": text}}
        case 3:
            fields["tags"] = ["short", text, "also short"]
        case _:
            fields["blob"] = "\n" * (TERM_LIMIT_BYTES + 1)  # two bytes each on the wire
    return _encode(fields)


def _malformed(random: Random, number: int) -> bytes:
    return _BROKEN[number % len(_BROKEN)]


_MAKERS: dict[Kind, Callable[[Random, int], bytes]] = {
    "logs": _log,
    "varied": _varied,
    "wide": _wide,
    "long_text": _long_text,
    "multibyte": _multibyte,
    "oversized": _oversized,
    "malformed": _malformed,
}


def _log_fields(random: Random, number: int) -> Fields:
    method, status = _pick(random, _METHODS), _pick(random, _STATUSES)
    path = f"/api/v1/{_pick(random, _WORDS)}/{_below(random, 100_000)}"
    duration_ms = _below(random, 900)
    return {
        "@timestamp": _timestamp(number),
        "message": f"{method} {path} answered {status} in {duration_ms} ms",
        "log": {"level": _pick(random, _LEVELS)},
        "service": {"name": _pick(random, SERVICES)},
        "host": {"name": f"node-{_below(random, 32):02}", "ip": f"10.0.{_below(random, 256)}.17"},
        "http": {
            "request": {"method": method, "bytes": _below(random, 5_000)},
            "response": {"status_code": status, "bytes": _below(random, 90_000)},
        },
        "trace": {"id": f"{_below(random, 1 << 48):016x}{_below(random, 1 << 48):016x}"},
        "user_agent": {"original": _pick(random, _AGENTS)},
        "event": {"duration": duration_ms / 1000},
    }


def _short_log_fields(random: Random, number: int) -> Fields:
    return {
        "@timestamp": _timestamp(number),
        "message": _words(random, 10 + _below(random, 10)),
        "log": {"level": _pick(random, _LEVELS)},
        "service": {"name": _pick(random, SERVICES), "version": "2.14.3"},
        "host": {"name": f"node-{_below(random, 32):02}"},
    }


def _scalar(random: Random, place: int) -> object:
    match place % 4:
        case 0:
            return _pick(random, _WORDS)
        case 1:
            return _below(random, 1_000_000)
        case 2:
            return random.random() < 0.5
        case _:
            return _below(random, 1_000_000) / 1000


def _timestamp(number: int) -> str:
    second, millisecond = divmod(number * 37, 1000)
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return (
        f"2026-03-{hour // 24 % 28 + 1:02}T{hour % 24:02}:{minute:02}:{second:02}.{millisecond:03}Z"
    )


def _words(random: Random, count: int) -> str:
    return " ".join(_pick(random, _WORDS) for _ in range(count))


def _pick(random: Random, choices: Sequence[Choice]) -> Choice:
    return choices[_below(random, len(choices))]


def _below(random: Random, limit: int) -> int:
    return int(random.random() * limit)


def _encode(fields: Fields) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()

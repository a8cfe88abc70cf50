"""What stands between the quotes of a JSON string: how a text is written there, where it is cut."""

import json
import re
from collections.abc import Iterator

import orjson

_BACKSLASH = ord("\\")
_NEAR_BYTES = 64
_SHARE_TRIED = 0.9  # of the raw bytes that would fill a room


def spellings(text: str) -> Iterator[bytes]:
    """How the usual writers of JSON would put a text into a string; some of them the same."""
    plain = orjson.dumps(text)[1:-1]
    yield plain
    yield plain.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")  # Go
    ascii_only = json.dumps(text).encode()[1:-1]
    yield ascii_only  # Python
    yield ascii_only.replace(b"/", b"\\/")  # PHP
    digits = _ESCAPE.sub(_with_upper_digits, ascii_only)
    for character in (b'\\"', b"&", b"'", b"+", b"<", b">", b"`", b"\x7f"):
        digits = digits.replace(character, b"\\u%04X" % character[-1])
    yield digits  # .NET


_ESCAPE = re.compile(rb"\\u....|\\\\")


def _with_upper_digits(found: re.Match[bytes]) -> bytes:
    return b"\\u" + found[0][2:].upper() if len(found[0]) == 6 else found[0]


def prefix_of(content: bytes, room: int) -> tuple[bytes, int]:
    """The longest start of a string's raw content that stands for at most `room` UTF-8 bytes.

    And the number of bytes that it stands for.

    Cut between code points; an escape and a surrogate pair stay whole. As no raw byte stands for
    more than one byte, `room` raw bytes always fit. What they leave of the room is filled again,
    with as many raw bytes as it probably takes, so the string is decoded about once.
    """
    end, kept = 0, 0
    raw_a_byte = 1.0
    while (stop := _boundary(content, end, end + int((room - kept) * raw_a_byte))) > end:
        size = _decoded_bytes(content[end:stop])
        if size > room - kept:  # fewer escapes here than before
            raw_a_byte = 1.0
            continue
        end, kept = stop, kept + size
        raw_a_byte = max(_SHARE_TRIED * end / kept, 1.0)
    for character in _CHARACTER.finditer(content, end):  # at most twelve: less room than raw bytes
        size = _decoded_bytes(character[0])
        if kept + size > room:
            break
        kept += size
        end = character.end()
    return content[:end], kept


def is_escaped(line: bytes, at: int, start: int) -> bool:
    """Whether an odd number of backslashes stands right before `at`, from `start` on."""
    near = line[max(start, at - _NEAR_BYTES) : at]
    run = len(near) - len(near.rstrip(b"\\"))
    if run == _NEAR_BYTES:
        before = line[start:at]
        is_all = before == b"\\" * len(before)  # 20 times faster than to strip them
        run = len(before) if is_all else len(before) - len(before.rstrip(b"\\"))
    return run % 2 == 1


def _decoded_bytes(content: bytes) -> int:
    if _BACKSLASH not in content:
        return len(content)
    text: str = orjson.loads(b'"%b"' % content)
    return len(text.encode())


def _boundary(content: bytes, start: int, stop: int) -> int:
    """The last place up to `stop` where a character begins; `start` is such a place."""
    if stop >= len(content):
        return len(content)
    while content[stop] & 0xC0 == 0x80:
        stop -= 1
    slash = content.rfind(b"\\", max(start, stop - 6), stop)
    if slash < 0 or not is_escaped(content, slash + 1, start):
        return stop
    width = 6 if content[slash + 1 : slash + 2] == b"u" else 2
    surrogate = content[slash + 1 : slash + 4].lower()
    if surrogate.startswith(_HIGH):
        return slash
    if slash + width <= stop:
        return stop
    return slash - 6 if surrogate.startswith(_LOW) else slash


_HIGH = (b"ud8", b"ud9", b"uda", b"udb")
_LOW = (b"udc", b"udd", b"ude", b"udf")
_CHARACTER = re.compile(
    rb"\\u[dD][89abAB]..\\u....|\\u....|\\.|[\x00-\x7f]|[\xc0-\xff][\x80-\xbf]*", re.DOTALL
)

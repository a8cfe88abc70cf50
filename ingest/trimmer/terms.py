"""How long one term may be, and what a value may become on its way to it.

Lucene refuses a term over 32,766 UTF-8 bytes, and Elasticsearch the document with it. What counts
are the bytes after the normalizer, while `ignore_above` counts UTF-16 units of the value as it
came: 10,922 of them (at most 3 bytes each) always fit, one more may not.
"""

import bisect
from collections.abc import Callable
from dataclasses import dataclass

TERM_BYTES_MAX = 32_766


@dataclass(frozen=True, slots=True)
class Growth:
    """How long a value may become by its normalizer or analyzer.

    `unit_bytes_max` is what one UTF-16 unit may become, `size` the bytes of a whole text: exact,
    or no less than it will be.
    """

    unit_bytes_max: int
    size: Callable[[str], int]

    def room(self, text: str, limit: int) -> int:
        """How many UTF-8 bytes of the text may stay so that at most `limit` result."""
        lengths = range(len(text) + 1)
        fitting = bisect.bisect_right(lengths, limit, key=lambda n: self.size(text[:n])) - 1
        return len(text[: max(fitting, 0)].encode())


def utf8_bytes(text: str) -> int:
    return len(text.encode())


def _lowered_size(text: str) -> int:
    return utf8_bytes(text.replace("İ", "i").lower())  # Lucene maps one code point to one


def _folded_size(text: str) -> int:
    return utf8_bytes(text) + (utf8_bytes(text) - _ascii_count(text) + 1) // 2


def _unknown_size(text: str) -> int:
    return 11 * utf8_bytes(text) - 10 * _ascii_count(text)


def _ascii_count(text: str) -> int:
    return len(text.encode("ascii", "ignore"))


AS_IS = Growth(3, utf8_bytes)
LOWERED = Growth(3, _lowered_size)  # U+023A: 2 bytes become 3
FOLDED = Growth(4, _folded_size)  # uppercase: 2 become 3; asciifolding: U+2487, 3 become 4
UNKNOWN = Growth(33, _unknown_size)  # as the longest of Unicode: U+FDFA, 3 bytes become 33


@dataclass(frozen=True, slots=True)
class Term:
    """One way in which a value becomes one term. `key_bytes` is the key of a flattened leaf."""

    ignore_above: int | None
    growth: Growth = AS_IS
    key_bytes: int | None = None

    @property
    def is_safe(self) -> bool:
        """Whether `ignore_above` leaves out every value that would be too long."""
        return (
            self.key_bytes is None
            and self.ignore_above is not None
            and self.ignore_above * self.growth.unit_bytes_max <= TERM_BYTES_MAX
        )

    def room(self, size: int, text: Callable[[], str]) -> int | None:
        """How many UTF-8 bytes may stay of a value of `size` bytes; None: all of it.

        Negative where the key of a flattened leaf alone is too long. `text` is called only where
        the bytes don't tell.
        """
        limit = TERM_BYTES_MAX - (0 if self.key_bytes is None else self.key_bytes + 1)
        if self.growth is AS_IS and size <= limit:
            return None
        if self.ignore_above is not None and utf16_units(text()) > self.ignore_above:
            return None
        if self.growth is AS_IS:
            return limit
        return None if self.growth.size(text()) <= limit else self.growth.room(text(), limit)


def utf16_units(text: str) -> int:
    """The length that `ignore_above` is compared with."""
    return len(text.encode("utf-16-le")) // 2

"""Bodies with `Content-Encoding: gzip` or `zstd`, decompressed piece by piece.

Both libraries give objects of the same shape (`decompress(data, max_length)`, `needs_input`,
`eof`, `unused_data`), so one class reads both, members and frames in a row too. Output is asked
for in pieces of at most the room that the buffer has; a bomb is stopped by the limits before it
costs memory.
"""

import sys
from collections.abc import Callable
from typing import Any

from isal import igzip_lib, isal_zlib

from ingest.errors import BodyTooLarge, MalformedRequest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RATIO_LOOKED_AT_BYTES = 1 << 20  # small bodies may compress as well as they like
_ZSTD_WINDOW_LOG_MAX = 23  # 8 MiB a stream, what RFC 8878 asks decoders to support at least


def _gzip() -> Any:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _zstd() -> Any:
    parameter = zstd.DecompressionParameter.window_log_max
    return zstd.ZstdDecompressor(options={parameter: _ZSTD_WINDOW_LOG_MAX})


_FORMATS: dict[str, Callable[[], Any]] = {"gzip": _gzip, "x-gzip": _gzip, "zstd": _zstd}
ENCODINGS = frozenset(_FORMATS)
_DAMAGE = (isal_zlib.error, zstd.ZstdError, EOFError, OSError)


class Decompressor:
    """Decompresses one body.

    Raises MalformedRequest for damaged bytes, BodyTooLarge beyond `max_bytes` decompressed or
    `max_ratio` of decompressed to compressed bytes.
    """

    def __init__(self, encoding: str, max_bytes: int, max_ratio: int):
        self._encoding = encoding
        self._fresh = _FORMATS[encoding]
        self._stream = self._fresh()
        self._input = b""
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._bytes_in = 0
        self._bytes_out = 0

    def feed(self, compressed: bytes) -> None:
        self._bytes_in += len(compressed)
        self._input = self._input + compressed if self._input else compressed

    def read(self, max_length: int) -> bytes:
        """At most `max_length` decompressed bytes; empty when more input is needed."""
        while True:
            if self._stream.eof:
                self._input = self._stream.unused_data + self._input
                if not self._input:
                    return b""
                self._stream = self._fresh()
            if not self._input and self._stream.needs_input:
                return b""
            piece = self._decompress(max_length)
            if piece:
                self._check_limits(len(piece))
                return piece

    def finish(self) -> None:
        """Raises MalformedRequest when the stream was cut short."""
        if not self._stream.eof:
            raise MalformedRequest(
                f"the {self._encoding} body ends before its stream does", type="damaged_body"
            )

    def _decompress(self, max_length: int) -> bytes:
        compressed, self._input = self._input, b""
        try:
            return bytes(self._stream.decompress(compressed, max_length))
        except _DAMAGE as error:  # type: ignore[misc]  # isal's stubs call its error an instance
            raise MalformedRequest(
                f"the {self._encoding} body is damaged: {error}", type="damaged_body"
            ) from error

    def _check_limits(self, size_bytes: int) -> None:
        self._bytes_out += size_bytes
        if self._bytes_out > self._max_bytes:
            raise BodyTooLarge(
                f"the body decompresses to more than max_body_bytes ({self._max_bytes}); "
                "send it in parts"
            )
        if self._bytes_out <= RATIO_LOOKED_AT_BYTES:
            return
        if self._bytes_out > self._max_ratio * self._bytes_in:
            raise BodyTooLarge(
                f"the body decompresses to more than {self._max_ratio} times its size "
                "(max_decompression_ratio); send it uncompressed or in parts"
            )

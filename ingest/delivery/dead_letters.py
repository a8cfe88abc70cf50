"""Documents that Elasticsearch refused for good, kept for a person: NDJSON under `dead-letters/`.

    {"time":…,"target":…,"action":…,"status":400,"attempts":1,"error":{…},"document":{…}}

Each worker appends to a file of its own, named by a fresh UUID, so no file has two writers. The
document stands there as its original bytes, the error as Elasticsearch gave it. The original of a
trimmed document is kept in memory only: if its worker ended before it was delivered, the letter
holds the document as it was trimmed. A document is settled only after its letter is on disk.

A file that failed once takes nothing more: what it holds of the failed letters is cut off, and the
next ones go to a fresh file (after a failed fsync, the next one may report success all the same).
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson


@dataclass(slots=True, frozen=True)
class DeadLetter:
    """One document with its action line and the reason why it can not be indexed."""

    action_line: bytes
    document: bytes
    status: int
    error: dict[str, Any]
    attempts: int


class DeadLetters:
    """Appends letters to one file, made when the first one comes. Used from one thread."""

    def __init__(self, data_dir: Path, now: Callable[[], str]):
        self._directory = data_dir / "dead-letters"
        self._now = now
        self._file: _LetterFile | None = None

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """Write and sync. Raises OSError; then nothing may be settled."""
        lines = b"".join(map(self._line, letters))
        if self._file is None:
            self._file = _LetterFile(self._directory)
        try:
            self._file.append(lines)
        except OSError:
            file, self._file = self._file, None
            file.abandon()
            raise

    def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _line(self, letter: DeadLetter) -> bytes:
        action, arguments = next(iter(orjson.loads(letter.action_line).items()))
        about = {
            "time": self._now(),
            "target": arguments["_index"],
            "action": action,
            "id": arguments.get("_id"),
            "status": letter.status,
            "attempts": letter.attempts,
            "error": letter.error,
        }
        return orjson.dumps(about)[:-1] + b',"document":' + letter.document.rstrip() + b"}\n"


class _LetterFile:
    """A file of letters: whole ones only, each append synced."""

    def __init__(self, directory: Path):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = directory / f"{uuid4()}.ndjson"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._descriptor = os.open(self._path, flags, 0o600)
        self._synced_bytes = 0

    def append(self, lines: bytes) -> None:
        """Raises OSError."""
        view = memoryview(lines)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)
        if not self._synced_bytes:  # the name must last, too
            _sync_directory(self._path.parent)
            _sync_directory(self._path.parent.parent)
        self._synced_bytes += len(lines)

    def abandon(self) -> None:
        """Leave only what was synced, as far as the disk lets us."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._synced_bytes)
            if not self._synced_bytes:
                self._path.unlink()
        with contextlib.suppress(OSError):
            self.close()

    def close(self) -> None:
        os.close(self._descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Documents that Elasticsearch refused for good, kept for a person: NDJSON under `dead-letters/`.

    {"time":…,"target":…,"action":…,"status":400,"attempts":1,"error":{…},"document":{…}}

Each worker appends to a file of its own, named by a fresh UUID, so no file has two writers. The
document stands there as its original bytes; the error as Elasticsearch gave it. A document is
settled only after its letter is on disk.
"""

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
        self._descriptor: int | None = None

    def append(self, letters: Sequence[DeadLetter]) -> None:
        """Write and sync. Raises OSError; then nothing may be settled."""
        if self._descriptor is None:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._directory / f"{uuid4()}.ndjson"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._descriptor = os.open(path, flags, 0o600)
        _write_all(self._descriptor, b"".join(map(self._line, letters)))
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

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


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]

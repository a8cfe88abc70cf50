"""The command line, run in the test's process."""

import io
import json
from collections.abc import Callable
from typing import Any

Run = Callable[..., tuple[int, str, str]]


class Input(io.TextIOWrapper):
    """Standard input that holds these bytes, or a terminal."""

    def __init__(self, content: bytes | None):
        super().__init__(io.BytesIO(content or b""))
        self._is_terminal = content is None

    def isatty(self) -> bool:
        return self._is_terminal


def shown(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]

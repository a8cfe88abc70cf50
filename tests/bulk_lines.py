"""Bulk lines for tests, as text."""

import json
from typing import Any


def bulk_line(action: str, index: str, id: str | None, source: str = '{"a":1}') -> str:
    """An action line with its source line; `id` None leaves the id to the node."""
    named: dict[str, Any] = {"_index": index} | ({} if id is None else {"_id": id})
    action_line = json.dumps({action: named}, separators=(",", ":"), ensure_ascii=False)
    return f"{action_line}\n" if action == "delete" else f"{action_line}\n{source}\n"


def creates(*ids: int) -> str:
    """One small document a number, all for the index `logs`."""
    return "".join(bulk_line("create", "logs", str(id)) for id in ids)

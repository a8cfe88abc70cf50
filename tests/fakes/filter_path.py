"""`filter_path` as Elasticsearch reads it: comma-separated paths, `*` in names, through arrays."""

import fnmatch
from typing import Any

Paths = list[list[str]]


def read_paths(text: str) -> Paths:
    return [path.split(".") for path in text.split(",") if path]


def keep(value: Any, paths: Paths) -> Any:
    """What of `value` lies on one of `paths`; None where nothing does."""
    if isinstance(value, list):
        kept = (keep(element, paths) for element in value)
        return [element for element in kept if element is not None] or None
    if not isinstance(value, dict):
        return None
    found = {name: _keep_entry(name, entry, paths) for name, entry in value.items()}
    return {name: entry for name, entry in found.items() if entry is not None} or None


def _keep_entry(name: str, entry: Any, paths: Paths) -> Any:
    rests = [rest for first, *rest in paths if _fits(name, first)]
    if [] in rests:
        return entry
    return keep(entry, rests) if rests else None


def _fits(name: str, pattern: str) -> bool:
    return pattern in ("*", name) or ("*" in pattern and fnmatch.fnmatchcase(name, pattern))

"""Index templates on top of their components, joined as Elasticsearch joins them."""

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Composed:
    """What an index made by this template gets: mappings, and settings as `index.a.b` keys."""

    name: str
    mappings: dict[str, Any]
    settings: dict[str, Any]


def compose(name: str, layers: Iterable[Mapping[str, Any]]) -> Composed:
    """The bodies of the components in order, the index template's own last."""
    mappings: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for layer in layers:
        content = layer.get("template", {})
        _merge_mappings(mappings, content.get("mappings", {}))
        settings |= flat_settings(content.get("settings", {}))
    return Composed(name, mappings, settings)


def wildcard(pattern: str) -> re.Pattern[str]:
    """Elasticsearch's simple patterns: `*` stands for any text, all else for itself."""
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested and dotted settings alike as `index.a.b` keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            flat |= flat_settings(value, name)
        else:
            flat[name if name.startswith("index.") else f"index.{name}"] = value
    return flat


def _merge_mappings(base: dict[str, Any], addition: dict[str, Any]) -> None:
    """Dynamic templates are joined by name, in order; of fields only objects are merged.

    Seen with `_index_template/_simulate_index` of 8.19: a name that comes again replaces the
    dynamic template in its old place.
    """
    templates: dict[str, Any] = {}
    for each in (*base.get("dynamic_templates", ()), *addition.get("dynamic_templates", ())):
        templates |= each
    fields = {k: v for k, v in addition.items() if k not in ("properties", "dynamic_templates")}
    base |= copy.deepcopy(fields)
    base["dynamic_templates"] = [{name: copy.deepcopy(t)} for name, t in templates.items()]
    _merge_properties(base.setdefault("properties", {}), addition.get("properties", {}))


def _merge_properties(base: dict[str, Any], addition: dict[str, Any]) -> None:
    """An object merged with an object keeps its fields, and takes all else from the later one."""
    for path, mapping in addition.items():
        *parents, name = path.split(".")
        level = base
        for parent in parents:
            level = level.setdefault(parent, {}).setdefault("properties", {})
        earlier, later = level.get(name, {}), mapping
        level[name] = merged = {k: copy.deepcopy(v) for k, v in later.items() if k != "properties"}
        if "properties" in later or _is_object(later):
            is_merged = _is_object(earlier) and _type(earlier) == _type(later)
            merged["properties"] = earlier.get("properties", {}) if is_merged else {}
            if is_merged and "subobjects" in earlier:
                merged.setdefault("subobjects", earlier["subobjects"])
            _merge_properties(merged["properties"], later.get("properties", {}))


def _type(mapping: dict[str, Any]) -> str:
    return str(mapping.get("type", "object"))


def _is_object(mapping: dict[str, Any]) -> bool:
    return _type(mapping) in ("object", "nested", "passthrough")

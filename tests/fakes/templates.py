"""Component and index templates: stored, given back in a node's shape, composed for an index."""

import fnmatch
from typing import Any

Json = dict[str, Any]


class Templates:
    """What `_component_template` and `_index_template` hold."""

    def __init__(self) -> None:
        self.components: dict[str, Json] = {}
        self.indices: dict[str, Json] = {}

    def put_component(self, name: str, body: Json) -> None:
        self.components[name] = {**body, "template": _with_nested_settings(body["template"])}

    def put_index(self, name: str, body: Json) -> str | None:
        """Stores the template; a missing component refuses it with this reason."""
        missing = [part for part in body.get("composed_of", ()) if part not in self.components]
        if missing:
            return (
                f"index_template [{name}] invalid, cause [index template [{name}] specifies "
                f"component templates [{', '.join(missing)}] that do not exist]"
            )
        stored = {"composed_of": [], **body}
        if "template" in body:
            stored["template"] = _with_nested_settings(body["template"])
        if "data_stream" in body:
            defaults = {"hidden": False, "allow_custom_routing": False}
            stored["data_stream"] = {**defaults, **body["data_stream"]}
        self.indices[name] = stored
        return None

    def find(self, index: str) -> Json | None:
        """The matching template of the highest priority."""
        matching = [
            template
            for template in self.indices.values()
            if any(fnmatch.fnmatchcase(index, pattern) for pattern in template["index_patterns"])
        ]
        return max(matching, key=lambda template: template.get("priority", 0), default=None)

    def compose(self, template: Json) -> Json:
        """`settings` and `mappings` of a template over those of its components."""
        parts = [self.components[name]["template"] for name in template["composed_of"]]
        composed: Json = {}
        for part in [*parts, template.get("template", {})]:
            composed = merge(composed, part)
        return composed


def select(names: dict[str, Json], pattern: str) -> dict[str, Json]:
    """The named entries; `*` and commas as in a URL."""
    patterns = pattern.split(",")
    return {
        name: body
        for name, body in names.items()
        if any(fnmatch.fnmatchcase(name, one) for one in patterns)
    }


def merge(base: Json, over: Json) -> Json:
    """`over` laid over `base`, objects merged, everything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both_objects = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = merge(below, value) if both_objects else value  # type: ignore[arg-type]
    return merged


def nest_settings(settings: Json) -> Json:
    """Settings as a node gives them back: nested under `index`, numbers and booleans as text."""
    nested: Json = {}
    for key, value in _flatten(settings):
        path = key if key.startswith("index.") else f"index.{key}"
        *parents, leaf = path.split(".")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = value
    return nested


def _with_nested_settings(template: Json) -> Json:
    if "settings" not in template:
        return dict(template)
    return {**template, "settings": nest_settings(template["settings"])}


def _flatten(settings: Json, prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            flat += _flatten(value, f"{prefix}{key}.")
        else:
            flat.append((prefix + key, _setting_text(value)))
    return flat


def _setting_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_setting_text(element) for element in value]
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None else str(value)

"""Index and component templates on disk: read, checked, matched to a target, composed.

    mappings/component_templates/NAME.json    mappings/index_templates/NAME.json

Each file is a body ready to PUT whose `_meta` holds `managed_by` and `version`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ingest.errors import ConfigError
from ingest.trimmer.composition import Composed, compose, wildcard

MANAGED_BY = "ingest"
Kind = Literal["component_template", "index_template"]


@dataclass(frozen=True, slots=True)
class Template:
    """One file: what to PUT under which name."""

    kind: Kind
    name: str
    body: dict[str, Any]

    @property
    def version(self) -> int:
        version: int = self.body["_meta"]["version"]
        return version

    @property
    def priority(self) -> int:
        return int(self.body.get("priority", 0))


@dataclass(frozen=True, slots=True)
class Templates:
    """All templates of a directory, by name."""

    components: Mapping[str, Template]
    indices: Mapping[str, Template]

    def find(self, target: str) -> Template | None:
        """The index template that Elasticsearch would choose for a new index of this name."""
        patterns = ((t, p) for t in self.indices.values() for p in patterns_of(t.body))
        matching = [t for t, pattern in patterns if wildcard(pattern).fullmatch(target)]
        return max(matching, key=lambda template: template.priority, default=None)

    def compose(self, template: Template) -> Composed:
        """The template on top of its components; one that may be missing counts as empty."""
        names = template.body.get("composed_of", [])
        layers = [self.components[name].body for name in names if name in self.components]
        return compose(template.name, (*layers, template.body))


def default_directory() -> Path:
    """The templates that ship with the service: in the wheel, else in the checkout around it."""
    package = Path(__file__).parent.parent
    packaged = package / "mappings"
    return packaged if packaged.is_dir() else package.parent / "mappings"


def load(directory: Path) -> Templates:
    """Reads every template. Raises ConfigError naming the file, the key and the reason."""
    if not directory.is_dir():
        raise ConfigError(f"{directory}: no such directory of templates")
    components = _read_all(directory / "component_templates", "component_template")
    indices = _read_all(directory / "index_templates", "index_template")
    for name, template in indices.items():
        _check_index_template(directory / "index_templates" / f"{name}.json", template, components)
    return Templates(components, indices)


def _read_all(directory: Path, kind: Kind) -> dict[str, Template]:
    files = sorted(directory.glob("*.json"))
    return {file.stem: Template(kind, file.stem, _read(file)) for file in files}


def _read(file: Path) -> dict[str, Any]:
    try:
        body = json.loads(file.read_bytes())
    except (ValueError, OSError) as error:
        raise ConfigError(f"{file}: not readable as JSON: {error}") from error
    if not isinstance(body, dict):
        raise ConfigError(f"{file}: a template is a JSON object")
    meta = body.get("_meta")
    if not isinstance(meta, dict) or meta.get("managed_by") != MANAGED_BY:
        raise ConfigError(f'{file}: _meta.managed_by: must be "{MANAGED_BY}"')
    if type(meta.get("version")) is not int:
        raise ConfigError(f"{file}: _meta.version: must be a whole number")
    _check_content(file, body)
    return body


def _check_content(file: Path, body: dict[str, Any]) -> None:
    content = body.get("template")
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: template: must be an object with mappings or settings")
    for key in ("mappings", "settings"):
        if not isinstance(content.get(key, {}), dict):
            raise ConfigError(f"{file}: template.{key}: must be an object")
    _check_fields(file, content.get("mappings", {}), "template.mappings")


def _check_fields(file: Path, mapping: dict[str, Any], place: str) -> None:
    for key in ("properties", "fields"):
        children = mapping.get(key, {})
        if not isinstance(children, dict):
            raise ConfigError(f"{file}: {place}.{key}: must be an object of fields")
        for name, child in children.items():
            if not isinstance(child, dict):
                raise ConfigError(f"{file}: {place}.{key}.{name}: must be an object")
            _check_fields(file, child, f"{place}.{key}.{name}")
    for number, each in enumerate(mapping.get("dynamic_templates", ())):
        if not isinstance(each, dict) or [type(v) for v in each.values()] != [dict]:
            place = f"{place}.dynamic_templates[{number}]"
            raise ConfigError(f"{file}: {place}: must be an object of one name and one object")


def _check_index_template(
    file: Path, template: Template, components: Mapping[str, Template]
) -> None:
    patterns = patterns_of(template.body)
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ConfigError(f"{file}: index_patterns: must be a list of names or patterns")
    optional = template.body.get("ignore_missing_component_templates", [])
    for name in template.body.get("composed_of", []):
        if name not in components and name not in optional:
            raise ConfigError(f"{file}: composed_of: no component template {name!r}")


def patterns_of(body: dict[str, Any]) -> list[str]:
    patterns = body.get("index_patterns", [])
    return [patterns] if isinstance(patterns, str) else list(patterns)

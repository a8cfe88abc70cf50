"""Templates on disk: read, matched to a target, compared with a cluster and put there.

    mappings/component_templates/NAME.json    mappings/index_templates/NAME.json

Each file is a body ready to PUT whose `_meta` holds `managed_by` and `version`. `apply` goes by
these two: what is newer in the cluster, or not ours, stays as it is unless it is forced.
"""

import copy
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from elasticsearch import Elasticsearch, NotFoundError

from ingest.composition import Composed, compose, flat_settings, wildcard
from ingest.errors import ConfigError

MANAGED_BY = "ingest"
Kind = Literal["component_template", "index_template"]
State = Literal["create", "update", "same", "newer", "foreign"]


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
        patterns = ((t, p) for t in self.indices.values() for p in _patterns(t.body))
        matching = [t for t, pattern in patterns if wildcard(pattern).fullmatch(target)]
        return max(matching, key=lambda template: template.priority, default=None)

    def compose(self, template: Template) -> Composed:
        """The template on top of its components; one that may be missing counts as empty."""
        names = template.body.get("composed_of", [])
        layers = [self.components[name].body for name in names if name in self.components]
        return compose(template.name, (*layers, template.body))


@dataclass(frozen=True, slots=True)
class Change:
    """What applying a template would do; `difference` is a unified diff of cluster and file."""

    template: Template
    state: State
    difference: str


def default_directory() -> Path:
    """The templates that ship with the service: in the wheel, else in the checkout around it."""
    package = Path(__file__).parent
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


def plan(client: Elasticsearch, templates: Templates) -> list[Change]:
    """What `apply` would do, components first. Asks the cluster, changes nothing."""
    wanted = (*templates.components.values(), *templates.indices.values())
    return [_change(template, _live(client, template)) for template in wanted]


def apply(client: Elasticsearch, templates: Templates, force: bool = False) -> list[Change]:
    """Puts what differs and returns it. Raises ConfigError naming all that is newer or foreign.

    With `force` these are overwritten too. Nothing is put when anything is refused.
    """
    changes = plan(client, templates)
    refused = [change for change in changes if change.state in ("newer", "foreign")]
    if refused and not force:
        raise ConfigError("; ".join(_refusal(change) for change in refused))
    due = [change for change in changes if change.state != "same"]
    for change in due:
        _put(client, change.template)
    return due


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
    patterns = _patterns(template.body)
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise ConfigError(f"{file}: index_patterns: must be a list of names or patterns")
    optional = template.body.get("ignore_missing_component_templates", [])
    for name in template.body.get("composed_of", []):
        if name not in components and name not in optional:
            raise ConfigError(f"{file}: composed_of: no component template {name!r}")


def _patterns(body: dict[str, Any]) -> list[str]:
    patterns = body.get("index_patterns", [])
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _live(client: Elasticsearch, template: Template) -> dict[str, Any] | None:
    try:
        if template.kind == "component_template":
            answer = client.cluster.get_component_template(name=template.name)
        else:
            answer = client.indices.get_index_template(name=template.name)
    except NotFoundError:
        return None
    body: dict[str, Any] = answer.body[f"{template.kind}s"][0][template.kind]
    return body


def _put(client: Elasticsearch, template: Template) -> None:
    api = client.cluster if template.kind == "component_template" else client.indices
    put = getattr(api, f"put_{template.kind}")
    put(name=template.name, body=template.body)


def _change(template: Template, live: dict[str, Any] | None) -> Change:
    difference = _difference(live, template.body)
    return Change(template, _state(template, live, difference), difference)


def _state(template: Template, live: dict[str, Any] | None, difference: str) -> State:
    if live is None:
        return "create"
    if _managed_by(live) != MANAGED_BY:
        return "foreign"
    if _version(live) > template.version:
        return "newer"
    return "update" if difference else "same"


def _refusal(change: Change) -> str:
    template = change.template
    what = f"{template.kind} {template.name}"
    if change.state == "newer":
        return f"{what}: the cluster has a newer version than {template.version}; --force puts it"
    return f"{what}: the cluster has one that is not managed by {MANAGED_BY}; --force replaces it"


def _managed_by(body: dict[str, Any]) -> Any:
    return (body.get("_meta") or {}).get("managed_by")


def _version(body: dict[str, Any]) -> int:
    version = (body.get("_meta") or {}).get("version")
    return version if isinstance(version, int) else 0


def _difference(live: dict[str, Any] | None, wanted: dict[str, Any]) -> str:
    before = [] if live is None else _lines(live)
    names = ("cluster", "file")
    return "\n".join(difflib.unified_diff(before, _lines(wanted), *names, n=2, lineterm=""))


def _lines(body: dict[str, Any]) -> list[str]:
    """A template in the one form that is compared: defaults left out, settings flat, as text."""
    body = copy.deepcopy(body)
    if "index_patterns" in body:
        body["index_patterns"] = _patterns(body)
    if "data_stream" in body:
        body["data_stream"] = {key: value for key, value in body["data_stream"].items() if value}
    content = body["template"] = body.get("template") or {}
    if content.get("settings"):
        flat = flat_settings(content["settings"])
        content["settings"] = {key: _setting_text(value) for key, value in flat.items()}
    kept = {key: value for key, value in body.items() if value or key not in _EMPTY_BY_DEFAULT}
    kept = {key: value for key, value in kept.items() if key not in _KEPT_BY_THE_CLUSTER}
    return json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False).splitlines()


_EMPTY_BY_DEFAULT = ("ignore_missing_component_templates", "composed_of")
_KEPT_BY_THE_CLUSTER = tuple(  # since 9.2
    f"{what}_date{unit}" for what in ("created", "modified") for unit in ("", "_millis")
)


def _setting_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_setting_text(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)

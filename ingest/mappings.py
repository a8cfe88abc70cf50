"""The templates in a cluster: compared with those on disk, and put there.

`apply` goes by `_meta`: what is newer in the cluster, or not ours, stays unless it is forced.
"""

import copy
import difflib
import json
from dataclasses import dataclass
from typing import Any, Literal

from elasticsearch import Elasticsearch, NotFoundError

from ingest.errors import ConfigError
from ingest.trimmer.composition import flat_settings
from ingest.trimmer.index_templates import MANAGED_BY, Template, Templates, patterns_of

State = Literal["create", "update", "same", "newer", "foreign"]


@dataclass(frozen=True, slots=True)
class Change:
    """What applying a template would do; `difference` is a unified diff of cluster and file."""

    template: Template
    state: State
    difference: str


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
        body["index_patterns"] = patterns_of(body)
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

"""What becomes of a string in an index: the terms of a path, as a composed template maps it.

    keyword      the value; each multi-field and `copy_to` target on its own
    flattened    key, NUL and value of each leaf
    text         only with an analyzer that keeps the value whole

unless it is neither indexed, stored nor has doc values, or `ignore_above` leaves long ones out.
Strings that no template maps become text with a `.keyword` of `ignore_above: 256`: safe.

A dynamic field may have got its mapping from an earlier document with a number or a date in it,
so the dynamic templates for those count as well. All of this was tried with 8.19.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ingest.errors import ConfigError
from ingest.trimmer.analysis import Analysis, listed
from ingest.trimmer.composition import Composed, wildcard
from ingest.trimmer.terms import Term, utf8_bytes

LOGSDB_IGNORE_ABOVE = 8191
_TEXT_TYPES = {"text", "match_only_text", "search_as_you_type", "annotated_text"}
_OBJECT_TYPES = {"object", "nested", "passthrough"}
_SCALAR_KINDS = ("string", "long", "double", "boolean", "date")


class IndexMapping:
    """A composed mapping, asked for the terms of one path at a time."""

    def __init__(self, composed: Composed):
        self.name = composed.name
        self._root = composed.mappings
        self._analysis = Analysis(composed.settings)
        self._ignore_above = _default_ignore_above(composed.settings)
        self._dynamic_templates = [
            _DynamicTemplate(name, body, composed.name)
            for each in composed.mappings.get("dynamic_templates", ())
            for name, body in each.items()
        ]

    def has_marker(self, marker: str) -> bool:
        """Whether `marker`.oversize and what is in it are mapped."""
        node = self._root
        for name in (marker, "oversize"):
            node = node.get("properties", {}).get(name, {})
        return bool({"field", "action", "bytes", "kept"} <= node.get("properties", {}).keys())

    def unsafe_terms(self) -> Iterator[tuple[str, Term]]:
        """All terms that a value might be too long for; without a path those of unknown fields."""
        for template in self._dynamic_templates:
            if template.mapping:
                yield from (("", term) for term in self._unsafe(template.filled("name", "string")))
        yield from (("", term) for term in self._unsafe({"type": "text"}))
        yield from self._unsafe_below("", self._root)

    def terms(self, path: str, with_copies: bool = True) -> Iterator[Term]:
        """The terms of a string at this path that may be too long."""
        names = path.split(".")
        node: dict[str, Any] = self._root
        dynamic, flat_from = "true", None
        for depth, name in enumerate(names):
            if _is_false(node.get("enabled")):
                return
            dynamic = str(node.get("dynamic", dynamic)).lower()
            flat_from = depth if _is_false(node.get("subobjects")) else flat_from
            is_last = depth == len(names) - 1
            child = node.get("properties", {}).get(name)
            if child is None and dynamic in ("false", "strict"):
                return
            if child is None and is_last:
                leaf = name if flat_from is None else ".".join(names[flat_from:])
                yield from self._dynamic_terms(path, leaf, dynamic, with_copies)
                return
            if child is None:
                child = self._dynamic_object(".".join(names[: depth + 1]), name)
            if child.get("type") == "flattened":
                if is_last:
                    return  # it takes objects only
                yield from self._flattened_terms(child, ".".join(names[depth + 1 :]))
                return
            node = child
            if node.get("type", "object") not in _OBJECT_TYPES:
                yield from self._leaf_terms(node, with_copies) if is_last else ()
                return

    def _dynamic_object(self, path: str, name: str) -> dict[str, Any]:
        template = self._first_match(path, name, "object")
        return template.filled(name, "object") if template and template.mapping else {}

    def _dynamic_terms(
        self, path: str, name: str, dynamic: str, with_copies: bool
    ) -> Iterator[Term]:
        for kind in _SCALAR_KINDS:
            template = self._first_match(path, name, kind)
            if template and template.mapping:
                yield from self._leaf_terms(template.filled(name, kind), with_copies)
            elif not template and kind == "string" and dynamic != "runtime":
                yield from self._leaf_terms({"type": "text"}, with_copies)

    def _first_match(self, path: str, name: str, kind: str) -> "_DynamicTemplate | None":
        return next((t for t in self._dynamic_templates if t.matches(path, name, kind)), None)

    def _leaf_terms(self, mapping: dict[str, Any], with_copies: bool) -> Iterator[Term]:
        yield from self._unsafe(mapping)
        if with_copies:
            for copied_to in listed(mapping.get("copy_to")):
                yield from self.terms(copied_to, with_copies=False)  # a copy isn't copied again

    def _flattened_terms(self, mapping: dict[str, Any], key: str) -> Iterator[Term]:
        for term in self._unsafe(mapping):
            yield Term(term.ignore_above, term.growth, utf8_bytes(key))

    def _unsafe_below(self, path: str, node: dict[str, Any]) -> Iterator[tuple[str, Term]]:
        for name, child in node.get("properties", {}).items():
            below = f"{path}.{name}" if path else name
            yield from ((below, term) for term in self._unsafe(child))
            yield from self._unsafe_below(below, child)

    def _unsafe(self, mapping: dict[str, Any]) -> Iterator[Term]:
        """The terms of a field and its multi-fields that `ignore_above` doesn't make safe."""
        for each in (mapping, *mapping.get("fields", {}).values()):
            term = self._term(each)
            if term is not None and not term.is_safe:
                yield term

    def _term(self, mapping: dict[str, Any]) -> Term | None:
        kind = mapping.get("type")
        is_indexed = not _is_false(mapping.get("index"))
        if kind in _TEXT_TYPES:
            growth = self._analysis.analyzer(str(mapping.get("analyzer", "default")))
            return Term(None, growth) if growth and is_indexed else None
        has_values = is_indexed or not _is_false(mapping.get("doc_values"))
        if not has_values and not _is_true(mapping.get("store")):
            return None
        above = mapping.get("ignore_above", self._ignore_above)
        ignore_above = None if above is None else int(above)
        if kind == "flattened":
            return Term(ignore_above, key_bytes=0)
        if kind == "keyword":
            return Term(ignore_above, self._analysis.normalizer(mapping.get("normalizer")))
        return None


class _DynamicTemplate:
    """One dynamic template; `mapping` is None where it makes a runtime field."""

    def __init__(self, name: str, body: dict[str, Any], index_template: str):
        self.mapping: dict[str, Any] | None = body.get("mapping")
        try:
            patterns = {key: self._patterns(body, key) for key in _PATTERN_KEYS}
        except re.error as error:
            raise ConfigError(
                f"index template {index_template}: dynamic_templates.{name}: {error}"
            ) from error
        self._names, self._unnames = patterns["match"], patterns["unmatch"]
        self._paths, self._unpaths = patterns["path_match"], patterns["path_unmatch"]
        self._kinds = listed(body.get("match_mapping_type"))
        self._unkinds = listed(body.get("unmatch_mapping_type"))
        if not self._kinds and (self._names or self._paths or self._unkinds):
            self._kinds = ["*"]

    def matches(self, path: str, name: str, kind: str) -> bool:
        """Whether Elasticsearch would take this one for a new field of this kind of JSON value."""
        if ("*" not in self._kinds and kind not in self._kinds) or kind in self._unkinds:
            return False
        if self._names and not _any_matches(self._names, name):
            return False
        if self._paths and not _any_matches(self._paths, path):
            return False
        return not _any_matches(self._unnames, name) and not _any_matches(self._unpaths, path)

    def filled(self, name: str, kind: str) -> dict[str, Any]:
        """The mapping for one field, its placeholders replaced."""
        dynamic_type = {"string": "text", "double": "float"}.get(kind, kind)
        filled: dict[str, Any] = _filled(self.mapping, name, dynamic_type)
        return filled if "type" in filled else {"type": dynamic_type, **filled}

    @staticmethod
    def _patterns(body: dict[str, Any], key: str) -> list[re.Pattern[str]]:
        is_regex = body.get("match_pattern") == "regex"
        return [(re.compile if is_regex else wildcard)(each) for each in listed(body.get(key))]


_PATTERN_KEYS = ("match", "unmatch", "path_match", "path_unmatch")


def _default_ignore_above(settings: Mapping[str, Any]) -> int | None:
    configured = settings.get("index.mapping.ignore_above")
    if configured is not None:
        return int(configured)
    return LOGSDB_IGNORE_ABOVE if settings.get("index.mode") == "logsdb" else None


def _filled(value: Any, name: str, dynamic_type: str) -> Any:
    if isinstance(value, dict):
        return {k: _filled(each, name, dynamic_type) for k, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, name, dynamic_type) for each in value]
    if isinstance(value, str):
        return value.replace("{name}", name).replace("{dynamic_type}", dynamic_type)
    return value


def _any_matches(patterns: Iterable[re.Pattern[str]], text: str) -> bool:
    return any(pattern.fullmatch(text) for pattern in patterns)


def _is_false(value: Any) -> bool:
    return value is False or value == "false"


def _is_true(value: Any) -> bool:
    return value is True or value == "true"

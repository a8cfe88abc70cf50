"""Which fields of a target may be refused for their length, and what is to be done then."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from ingest.errors import ConfigError
from ingest.trimmer.composition import Composed, wildcard
from ingest.trimmer.index_mapping import IndexMapping
from ingest.trimmer.index_templates import Templates
from ingest.trimmer.terms import AS_IS, Term

DISTINCT_PATHS_MAX = 10_000
TARGETS_REMEMBERED = 4096

OversizeAction: TypeAlias = Literal["trim", "ignore_above", "drop_field", "dead_letter"]


class Oversize(BaseModel):
    """One `[[oversize]]` rule; the first whose pattern matches a field's path counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str = Field(min_length=1, description="path of a field; `*` stands for any text")
    action: OversizeAction = Field(
        "trim",
        description="`trim` cuts the value to what fits; `ignore_above` leaves it whole because "
        "the mapping leaves it out of the index; `drop_field` removes the field; `dead_letter` "
        "sets the document aside",
    )


@dataclass(frozen=True, slots=True)
class FieldRule:
    """A field that may be refused for its length, and what to do then."""

    action: OversizeAction
    terms: tuple[Term, ...]


class FieldRules:
    """The rules of one index template; `marker` is None where the template has no place for it."""

    def __init__(self, composed: Composed, oversize: Sequence[Oversize], marker: str):
        self._index = IndexMapping(composed)
        self._actions = [(wildcard(each.field), each.action) for each in oversize]
        unsafe = [term for _, term in self._index.unsafe_terms()]
        self.is_safe = not unsafe
        self.short_lines_are_safe = all(term.growth is AS_IS for term in unsafe)
        self.marker = marker if self._index.has_marker(marker) else None
        self._found: dict[str, FieldRule | None] = {}

    def find(self, path: str) -> FieldRule | None:
        """The rule of a field, by its dotted path; None where every value is to stay whole."""
        try:
            return self._found[path]
        except KeyError:
            pass
        if len(self._found) >= DISTINCT_PATHS_MAX:
            self._found.clear()
        terms, action = tuple(dict.fromkeys(self._index.terms(path))), self._action(path)
        is_bound = bool(terms) and action != "ignore_above"
        rule = self._found[path] = FieldRule(action, terms) if is_bound else None
        return rule

    def check(self) -> None:
        """Raises ConfigError where `ignore_above` is relied on and the template lacks it."""
        for path, term in self._index.unsafe_terms():
            if path and term.ignore_above is None and self._action(path) == "ignore_above":
                raise ConfigError(
                    f"oversize: {path}: action ignore_above, but index template "
                    f"{self._index.name} maps it without one; set it there, to at most 8191"
                )

    def _action(self, path: str) -> OversizeAction:
        matching = (action for pattern, action in self._actions if pattern.fullmatch(path))
        return next(matching, "trim")


class FieldRuleBook:
    """The rules of every target, each template compiled once. Raises ConfigError if one can't."""

    def __init__(
        self, templates: Templates, oversize: Sequence[Oversize] = (), marker: str = "ingest"
    ):
        if "." in marker:
            raise ConfigError(f"oversize_marker: {marker!r}: must be one name without dots")
        unmapped = FieldRules(Composed("", {}, {}), oversize, marker)
        by_name = {
            name: FieldRules(templates.compose(template), oversize, marker)
            for name, template in templates.indices.items()
        }
        for rules in by_name.values():
            rules.check()

        @lru_cache(TARGETS_REMEMBERED)
        def rules_for(target: str) -> FieldRules:
            template = templates.find(target)
            return by_name[template.name] if template else unmapped

        self._rules_for = rules_for

    def rules_for(self, target: str) -> FieldRules:
        """The rules of the template that matches the target, or of the default mapping."""
        return self._rules_for(target)

"""How much the normalizers and analyzers of an index may lengthen a value."""

from collections.abc import Mapping
from typing import Any

from ingest.trimmer.terms import AS_IS, FOLDED, LOWERED, UNKNOWN, Growth

_SHRINKING = {"trim", "decimal_digit", "cjk_width", "elision", "arabic_normalization"}
_FOLDING = {"uppercase", "asciifolding", "german_normalization", "scandinavian_folding"}
_WHOLE_VALUE_TOKENIZERS = {"keyword", "pattern", "path_hierarchy", "simple_pattern_split"}


class Analysis:
    """The normalizers and analyzers that the settings define, and the built-in ones."""

    def __init__(self, settings: Mapping[str, Any]):
        self._settings = settings

    def normalizer(self, name: str | None) -> Growth:
        if name is None:
            return AS_IS
        if name == "lowercase":
            return LOWERED
        prefix = f"index.analysis.normalizer.{name}"
        is_defined = any(key.startswith(f"{prefix}.") for key in self._settings)
        return self._growth(prefix) if is_defined else UNKNOWN

    def analyzer(self, name: str) -> Growth | None:
        """None for an analyzer that cuts text into tokens of a bounded length."""
        prefix = f"index.analysis.analyzer.{name}"
        kind = self._settings.get(f"{prefix}.type", "custom" if name == "default" else name)
        if kind in ("keyword", "pattern"):
            return LOWERED if kind == "pattern" else AS_IS
        tokenizer = str(self._settings.get(f"{prefix}.tokenizer"))
        defined = self._settings.get(f"index.analysis.tokenizer.{tokenizer}.type", tokenizer)
        return self._growth(prefix) if defined in _WHOLE_VALUE_TOKENIZERS else None

    def _growth(self, prefix: str) -> Growth:
        if self._settings.get(f"{prefix}.char_filter"):
            return UNKNOWN
        filters = set(listed(self._settings.get(f"{prefix}.filter"))) - _SHRINKING
        if not filters:
            return AS_IS
        if filters == {"lowercase"}:
            return LOWERED
        return FOLDED if filters <= _FOLDING | {"lowercase"} else UNKNOWN


def listed(value: Any) -> list[str]:
    """A setting that may be one text, a list of them, or missing."""
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]

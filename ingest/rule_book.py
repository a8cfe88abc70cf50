"""The field rules of a service: its templates and settings, compiled."""

from ingest.config import Settings
from ingest.field_rules import FieldRuleBook
from ingest.mappings import default_directory, load


def build_rules(settings: Settings) -> FieldRuleBook:
    """Raises ConfigError naming the template file or the `[[oversize]]` rule that is at fault."""
    templates = load(settings.mappings_dir or default_directory())
    return FieldRuleBook(templates, settings.oversize, settings.oversize_marker)

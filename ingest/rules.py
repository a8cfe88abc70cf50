"""The configured rules, compiled: where documents go, and which of their fields may be too long."""

from ingest.config import Settings
from ingest.router.router import Router
from ingest.trimmer.field_rules import FieldRuleBook
from ingest.trimmer.index_templates import default_directory, load


def compile_rules(settings: Settings) -> tuple[Router, FieldRuleBook]:
    """Raises ConfigError naming the template file or the rule that is at fault."""
    templates = load(settings.mappings_dir or default_directory())
    fields = FieldRuleBook(templates, settings.oversize, settings.oversize_marker)
    router = Router(
        settings.routes,
        client_index=settings.client_index,
        invalid_names=settings.invalid_names,
        trims_short_lines=lambda name: not fields.rules_for(name).short_lines_are_safe,
    )
    return router, fields

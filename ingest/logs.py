"""Log lines: one line an event, for people (console) or machines (json), on standard error.

ERROR = documents lost or set aside, WARNING = recovered or being repeated. Never a document's
content: so tracebacks are without the local variables that structlog would show.
"""

import logging
import sys
from typing import Any

import structlog

from ingest.config import Settings


def configure(settings: Settings, **bound: Any) -> None:
    """Set up logging for this process; `bound` stands in each of its lines."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any
    if settings.log_format == "json":
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        renderer = [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(),
        ]
    else:
        renderer = [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**bound)
    _adopt_stdlib(shared, renderer, level)


def _adopt_stdlib(shared: list[Any], renderer: list[Any], level: int) -> None:
    """Libraries (uvicorn, the client) log through the standard library: warnings and worse."""
    handler = logging.StreamHandler(sys.stderr)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[remove, *renderer]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)  # the bulk writer says it once

"""Hides from a service under test what only the development environment holds.

elastic_transport and structlog load these wherever they find them, 0.3 s of each process's start;
where the service is installed for use, nothing but its own requirements is there.
"""

import sys

for name in ("aiohttp", "httpx", "requests", "rich"):
    sys.modules[name] = None  # type: ignore[assignment]

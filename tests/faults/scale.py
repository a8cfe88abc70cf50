"""How long runs are: `INGEST_TEST_SCALE` multiplies their rounds, or the time under load."""

import os

SCALE = float(os.environ.get("INGEST_TEST_SCALE", "1"))


def scaled(rounds: int) -> int:
    """At least one."""
    return max(1, round(rounds * SCALE))

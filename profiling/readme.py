"""Writes the generated part of README.md: the table of settings."""

import re
from pathlib import Path

from ingest.config import settings_table

README = Path(__file__).parent.parent / "README.md"
_PART = re.compile(r"(<!-- settings -->\n).*?(<!-- /settings -->)", re.DOTALL)


def with_settings(text: str) -> str:
    """The README's text with the table as the code has it now."""
    return _PART.sub(lambda found: f"{found[1]}\n{settings_table()}\n\n{found[2]}", text)


if __name__ == "__main__":
    README.write_text(with_settings(README.read_text()))

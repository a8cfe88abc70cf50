"""A missing tool skips a test where a person runs it, and fails it where CI does."""

import pytest

from tests.required_tools import require_tool


def test_tool_that_is_there_is_found() -> None:
    assert require_tool("sh").endswith("/sh")


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [
        ("", pytest.skip.Exception),
        ("false", pytest.skip.Exception),
        ("true", pytest.fail.Exception),
        ("1", pytest.fail.Exception),
    ],
)
def test_missing_tool_skips_or_fails(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="missing tool: no-such-tool"):
        require_tool("no-such-tool")

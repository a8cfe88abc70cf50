"""Tests that need a tool skip visibly where it is missing, and fail where `CI` is set."""

import os
import shutil
from typing import NoReturn

import pytest


def require_tool(name: str) -> str:
    """The path of a program on `PATH`; else the test is skipped, or fails under `CI=true`."""
    path = shutil.which(name)
    return path if path is not None else skip_or_fail(name)


def skip_or_fail(missing: str) -> NoReturn:
    """For what is missing but isn't a program on `PATH`, such as a JDK of some release."""
    reason = f"missing tool: {missing}"
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(reason)
    pytest.fail(reason)

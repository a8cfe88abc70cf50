"""`run`, for all commands."""

import os

import pytest

from ingest.__main__ import main
from tests.unit.commands.rig import Input, Run


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs a command in this process: exit code, standard output, standard error."""
    for name in os.environ:
        if name.startswith("INGEST_"):
            monkeypatch.delenv(name)

    def run(*arguments: object, given: bytes | None = None) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", Input(given))
        try:
            code = main([str(each) for each in arguments])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        said = capsysbinary.readouterr()
        return code, said.out.decode(), said.err.decode()

    return run

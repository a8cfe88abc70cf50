"""Fixtures of several parts."""

from collections.abc import Iterator

import pytest

from ingest.scoreboard import Scoreboard
from tests.delivery_rig import open_scoreboard


@pytest.fixture
def board() -> Iterator[Scoreboard]:
    with open_scoreboard() as board:
        yield board

"""A spool with room for a few documents in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.scoreboard import Scoreboard
from tests.spooling_rig import SpoolingRig
from tests.unit.spooling.rig import ROOM


@pytest.fixture
def rig(board: Scoreboard, tmp_path: Path) -> Iterator[SpoolingRig]:
    with SpoolingRig(board, tmp_path, max_pending_bytes=ROOM) as rig:
        yield rig

"""`delivery_of(script)`: the parts behind the batcher."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery_rig import Delivery, open_scoreboard
from tests.unit.delivery.bulk_writer.rig import DeliveryOf


@pytest.fixture
def delivery_of(tmp_path: Path) -> Iterator[DeliveryOf]:
    with open_scoreboard() as board:
        yield lambda script, **options: Delivery(board, tmp_path, script, **options)

"""Times of the pure stages, for 1,000 documents: `make bench`."""

from typing import Any

import pytest

from profiling.stages import Stage, calibration, stages

STAGES = {"calibration": calibration(), **stages()}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_stage(benchmark: Any, stage: Stage) -> None:
    benchmark(stage)

"""Times of the pure stages, for 1,000 documents: `make bench`."""

from typing import Any

import pytest

from profiling.stages import Work, copying, parsing, stages

WORKS = {"calibration: parsing": parsing(), "calibration: copying": copying()}
WORKS |= {name: stage.run for name, stage in stages().items()}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS.keys())
def test_stage(benchmark: Any, work: Work) -> None:
    benchmark(work)

"""Row 18, short; `python -m tests.faults.soak --minutes 30` is the long one."""

from pathlib import Path

from tests.fakes import ScriptedElasticsearch
from tests.faults.scale import SCALE
from tests.faults.soak import Soak

SECONDS = 1.0  # one round of all faults, which takes longer
SEED = 18


def test_random_faults_under_load_violate_nothing(
    scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path
) -> None:
    soak = Soak(tmp_path, scripted_elasticsearch, workers=2, seed=SEED)
    soak.run(SECONDS * SCALE**2)
    assert soak.violations == []
    assert len(soak.faults.fired) == len(soak.faults.kinds)
    assert soak.documents > 1000

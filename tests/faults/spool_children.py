"""Processes of `spool_child`, killed or hindered, and the judgement on what their journal says."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

from ingest.spool import adopt, orphans
from tests.faults.spool_child import COUNT, payload_of

ROOT = Path(__file__).parents[2]


def child(life: str, data_dir: Path) -> list[str]:
    """The command line of one."""
    return [sys.executable, "-m", "tests.faults.spool_child", life, str(data_dir)]


def child_environment(failpoint: str = "") -> dict[str, str]:
    return {**os.environ, "INGEST_FAILPOINT": failpoint, "PYTHONPATH": str(ROOT)}


def noted_in(data_dir: Path, what: str) -> set[tuple[str, int]]:
    """Directory and first sequence of each record of which the journal says so."""
    return {(directory, first) for directory, first, _ in _noted(data_dir, what)}


def drain_children(data_dir: Path) -> set[tuple[str, int]]:
    """All that Elasticsearch has after the last spool is drained; each as it was appended."""
    delivered = set()
    for directory, first, crc in _noted(data_dir, "delivered"):
        assert crc == crc32(payload_of(directory, first))
        delivered.add((directory, first))
    for path in orphans(data_dir):
        orphan = adopt(path)
        assert orphan is not None
        for recovered in orphan.records():
            assert recovered.payload == payload_of(path.name, recovered.first_sequence)
            assert recovered.count == COUNT
            delivered.add((path.name, recovered.first_sequence))
            orphan.settle(range(recovered.first_sequence, recovered.first_sequence + COUNT))
        orphan.remove()
    left = [path.name for path in (data_dir / "spool").iterdir()]
    assert left in ([], ["quarantine"])
    return delivered


def _noted(data_dir: Path, what: str) -> Iterator[tuple[str, int, int]]:
    for line in (data_dir / "journal").read_text().splitlines():
        kind, directory, first, crc = line.split()
        if kind == what:
            yield directory, int(first), int(crc)

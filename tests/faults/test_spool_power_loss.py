"""Power loss after every operation: what was acked comes back, whatever was not synced.

`INGEST_TEST_SCALE=10` tries ten times as many random fates at each moment.
"""

import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from ingest.spool import SpoolLimits, Surroundings, adopt
from tests.faults.power_loss import Disk, Note, RecordingFiles, fates
from tests.faults.scale import scaled
from tests.unit.spool.rig import (
    DIRECTORY_ID,
    Rig,
    UnsyncedFiles,
    drain,
    payload_of,
    sequences_of,
)

SEED = 3
LIMITS = SpoolLimits(quota_bytes=1 << 30, free_bytes_min=0, file_bytes=3000)
FILES = UnsyncedFiles()


def _judge_every_moment(
    before: Path,
    notes: list[Note],
    target: Path,
    sizes: dict[int, int],
    base: Iterable[int] = (),
    evidence: Iterable[bytes] = (),
) -> int:
    """Builds each state after each note, drains it, and compares. Returns how many states.

    `base` are records acked before the first note, `evidence` what must be in quarantine.
    """
    disk = Disk(before)
    promised, settled, states = set(base), set[int](), 0
    for moment, note in enumerate(notes):
        disk.replay(note)
        if note.what == "acked":
            promised.add(note.marked)
        elif note.what == "settled":
            settled.add(note.marked)
        for fate in fates(SEED + moment * 1000, scaled(2)):
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            disk.build(fate, target)
            delivered = drain(target, FILES)
            where = f"moment {moment}, after {note.what} {note.path.name}: {fate.name}"
            assert promised - settled <= set(delivered), where
            for first, payload in delivered.items():
                assert payload == payload_of(first, sizes[first]), where
            left = [path.name for path in target.glob("spool/*")]
            assert left in ([], ["quarantine"]), where
            kept = [path.read_bytes() for path in target.glob("spool/quarantine/*")]
            assert set(evidence) <= set(kept), where
            states += 1
    return states


def _appending(data_dir: Path, files: RecordingFiles, sizes: dict[int, int], ends: bool) -> None:
    """Groups of several sizes over several files, settled out of order."""
    randomness = random.Random(SEED)
    rig = Rig(data_dir, files, LIMITS)
    open_records = []
    for _ in range(7):
        group = [rig.queue(size=randomness.choice([5, 700, 2500])) for _ in range(2)]
        sizes.update((record.first_sequence, record.length) for record in group)
        rig.spool.turn()
        for record in group:
            assert record.first_sequence in rig.acked
            files.mark("acked", record.first_sequence)
        open_records += group
        while len(open_records) > (0 if ends else 2):
            record = open_records.pop(randomness.randrange(len(open_records)) // 2)
            files.mark("settled", record.first_sequence)
            rig.settle(record)
        rig.tick()
    rig.spool.close()


@pytest.mark.parametrize("ends", [True, False], ids=["drained at the end", "left to be adopted"])
def test_power_loss_while_appending_and_settling(tmp_path: Path, ends: bool) -> None:
    data_dir, before = tmp_path.resolve() / "data", tmp_path.resolve() / "before"
    data_dir.mkdir()
    files, sizes = RecordingFiles(), dict[int, int]()
    _appending(data_dir, files, sizes, ends)
    before.mkdir()
    notes = [_moved(note, data_dir, before) for note in files.notes]
    states = _judge_every_moment(before, notes, tmp_path / "state", sizes)
    assert states > 1000
    assert sum(note.what == "unlink" for note in notes) > 2


def test_power_loss_while_an_orphan_is_drained(tmp_path: Path) -> None:
    """Its first file is damaged in the middle, its last one torn: both stay for a person."""
    data_dir, before = tmp_path.resolve() / "data", tmp_path.resolve() / "before"
    sizes = dict.fromkeys(range(6), 900)
    rig = Rig(data_dir, FILES, LIMITS)
    records = [rig.append(size=900) for _ in sizes]
    rig.spool.close()
    first, *_, last = sorted(rig.path.glob("*.spool"))
    content = bytearray(first.read_bytes())
    content[records[1].offset + 500] ^= 1
    first.write_bytes(content)
    last.write_bytes(last.read_bytes() + b"torn")
    shutil.copytree(data_dir, before)
    files = RecordingFiles()
    _drain_with_marks(rig.path, files)
    notes = [_moved(note, data_dir, before) for note in files.notes]
    evidence = [bytes(content[records[1].offset :][: records[1].size]), b"torn"]
    promised = set(sizes) - {1}
    states = _judge_every_moment(before, notes, tmp_path / "state", sizes, promised, evidence)
    assert states > 300


def _drain_with_marks(path: Path, files: RecordingFiles) -> None:
    orphan = adopt(path, Surroundings(files=files))
    assert orphan is not None
    for recovered in orphan.records():
        files.mark("settled", recovered.first_sequence)
        orphan.settle(sequences_of(recovered))
        orphan.advance()
    orphan.remove()


def _moved(note: Note, data_dir: Path, before: Path) -> Note:
    """The note as if it had been made in the copy of what was there before."""
    if not note.path.is_absolute():
        return note
    path = before / note.path.relative_to(data_dir)
    return Note(note.what, path, note.offset, note.content, note.marked)


def test_the_simulation_can_lose_what_was_not_synced(tmp_path: Path) -> None:
    """A judge that finds nothing wrong with a spool that never syncs would prove nothing."""
    data_dir, before = tmp_path.resolve() / "data", tmp_path.resolve() / "before"
    data_dir.mkdir()
    before.mkdir()
    files, sizes = RecordingFiles(), dict[int, int]()
    _appending(data_dir, files, sizes, ends=False)
    unsynced = [
        _moved(note, data_dir, before)
        for note in files.notes
        if note.what != "sync" or note.path.name == "cursor"
    ]
    with pytest.raises(AssertionError, match="moment"):
        _judge_every_moment(before, unsynced, tmp_path / "state", sizes)
    assert str(DIRECTORY_ID) in str(unsynced)

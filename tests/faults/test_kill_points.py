"""Row 1: a worker is killed at every named step, one after the other, under load.

The steps come through SIGHUP, so that each new worker meets what those before it have left.
"""

import contextlib
import random
from pathlib import Path

from ingest.failpoints import NAMES
from tests.fakes import ScriptedElasticsearch
from tests.faults.clusters import ScriptedCluster
from tests.faults.producers import producing
from tests.faults.rig import CHANGED, DIED, Fleet
from tests.faults.scale import scaled
from tests.faults.side_by_side import side_by_side

SEED = 11
FLEETS = 3  # the steps are dealt out to them
LAST_ACKS = 2  # one of each producer may still come from the worker before
PASSINGS = {"create": 4, "write": 7, "fdatasync": 9, "directory_fsync": 6, "ack": 5}
PASSINGS |= {"unlink": 1, "rmdir": 1}
NEEDS_ORPHAN = ("before_rmdir", "after_rmdir")
# A torn tail is cut off by whoever adopts it: these follow each other.
TORN = ["mid_write", "before_truncate", "after_truncate"]


def passing(name: str) -> int:
    """Late enough for the worker to have work on its hands; a start passes some steps already."""
    return 1 if name in TORN else PASSINGS.get(name.partition("_")[2], 2)


def hands(seed: int) -> list[list[str]]:
    """The steps of each fleet: together they are, in each round, every step."""
    chance = random.Random(seed)
    dealt: list[list[str]] = [[] for _ in range(FLEETS)]
    for _ in range(scaled(1)):
        rest = sorted(NAMES - set(TORN))
        chance.shuffle(rest)
        for number, hand in enumerate(dealt):
            hand += rest[number::FLEETS]
        dealt[0] += TORN
    return dealt


class Killing:
    """A fleet whose workers kill themselves at the step that the configuration file names."""

    def __init__(self, fleet: Fleet, config: Path):
        self.fleet = fleet
        self.config = config

    def at(self, name: str) -> None:
        """Until a worker has died there. The next step's worker starts at once."""
        self.reload(f'failpoint = "{name}:{passing(name)}"\n')
        kills = self._leave_an_orphan() if name in NEEDS_ORPHAN else 0
        self.fleet.wait_until(f"{name} fires", lambda: self._deaths() > kills)

    def reload(self, text: str) -> None:
        self.config.write_text(text)
        self.fleet.hang_up()

    def _deaths(self) -> int:
        """Of workers that have this configuration; the one before fires still, at times."""
        return self.fleet.service.said.rpartition(CHANGED)[2].count(DIED)

    def _leave_an_orphan(self) -> int:
        """Kills a worker that has a directory, unless one has died; gives how many."""
        fleet = self.fleet
        fleet.wait_until("a worker", lambda: self._deaths() > 0 or fleet.is_listening())
        fleet.wait_for_acks(LAST_ACKS + 1)
        if self._deaths():
            return 0
        with contextlib.suppress(IndexError, ProcessLookupError):  # it dies at this moment
            fleet.kill_worker()
            return 1
        return 0


def test_no_step_is_a_bad_moment_to_be_killed(tmp_path: Path) -> None:
    side_by_side(kill_at_each, hands(SEED), tmp_path)


def kill_at_each(names: list[str], directory: Path) -> None:
    config = directory / "ingest.toml"
    config.write_text("")
    with (
        ScriptedElasticsearch() as es,
        Fleet(ScriptedCluster(es), directory, config=config) as fleet,
    ):
        killing = Killing(fleet, config)
        with producing(fleet.producer("plain"), fleet.producer("keyed", repeats=True)):
            for name in names:
                killing.at(name)
            killing.reload("")
            fleet.wait_until_listening()
            fleet.wait_for_acks(10)
        assert fleet.restarts >= len(names)
        assert fleet.service.said.count("exit_code") >= len(names)
        fleet.prove()

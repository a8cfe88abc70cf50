"""Row 1: a worker is killed at every named step, one after the other, under load.

The steps come through SIGHUP, so that each new worker meets what all those before it have left.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from ingest.failpoints import NAMES
from tests.fakes import ScriptedElasticsearch
from tests.faults.clusters import ScriptedCluster
from tests.faults.producers import producing
from tests.faults.rig import SCALE, Fleet

SEED = 11
PASSINGS = {"create": 4, "write": 7, "fdatasync": 9, "directory_fsync": 6, "ack": 5}
PASSINGS |= {"unlink": 1, "rmdir": 1}
NEEDS_ORPHAN = ("before_rmdir", "after_rmdir")
# A torn tail is cut off by whoever adopts it: these follow each other.
TORN = ["mid_write", "before_truncate", "after_truncate"]


def passing(name: str) -> int:
    """Late enough for the worker to have work on its hands; a start passes some steps already."""
    return 1 if name in TORN else PASSINGS.get(name.partition("_")[2], 2)


def rounds(seed: int) -> Iterator[str]:
    chance = random.Random(seed)
    for _ in range(max(1, round(SCALE))):
        rest = sorted(NAMES - set(TORN))
        chance.shuffle(rest)
        yield from (*rest, *TORN)


class Killing:
    """A fleet whose workers kill themselves at the step that the configuration file names."""

    def __init__(self, fleet: Fleet, config: Path):
        self.fleet = fleet
        self.config = config

    def at(self, name: str) -> None:
        """Until a worker has died there. The next round's worker starts at once."""
        wanted = self.fleet.restarts + 1
        self.reload(f'failpoint = "{name}:{passing(name)}"\n')
        if name in NEEDS_ORPHAN:
            self.fleet.wait_until_listening()
            self.fleet.kill_worker()
            wanted += 1
        self.fleet.wait_until(f"{name} fires", lambda: self.fleet.restarts >= wanted)

    def reload(self, text: str) -> None:
        self.config.write_text(text)
        self.fleet.hang_up()


def test_no_step_is_a_bad_moment_to_be_killed(
    scripted_elasticsearch: ScriptedElasticsearch, tmp_path: Path
) -> None:
    config = tmp_path / "ingest.toml"
    config.write_text("")
    cluster = ScriptedCluster(scripted_elasticsearch)
    with Fleet(cluster, tmp_path, config=config) as fleet:
        killing = Killing(fleet, config)
        names = list(rounds(SEED))
        plain, keyed = fleet.producer("plain"), fleet.producer("keyed", repeats=True)
        with producing(plain, keyed):
            for name in names:
                killing.at(name)
            killing.reload("")
            fleet.wait_until_listening()
            fleet.wait_for_acks(10)
        assert fleet.restarts >= len(names)
        assert fleet.service.said.count("exit_code") >= len(names)
        fleet.prove()

"""What comes out of a directory again, and what could not."""

from dataclasses import dataclass

from ingest.spool.record import Record
from ingest.spool.recovery import DamagedRange


@dataclass(slots=True, frozen=True)
class Recovered:
    """A record that was read back. `record` is its handle.

    `missing_before`, of an adopted directory: documents of damaged records between the last one and
    this. The cursor passes them when all before them is settled and the next one is asked for: who
    counts them in between counts them once.
    """

    payload: bytes
    count: int
    first_sequence: int
    record: Record
    missing_before: int = 0


@dataclass(slots=True)
class Damage:
    """What could not be recovered, in an adopted directory. A torn tail is the normal end of a
    file whose writer was killed and was never acked; a damaged record once was whole.
    """

    damaged_ranges: int = 0
    damaged_bytes: int = 0
    torn_tails: int = 0
    torn_bytes: int = 0
    repeated_records: int = 0  # copies of records that came before: nothing is missing

    def count(self, damage: DamagedRange, *, is_torn: bool) -> None:
        if is_torn:
            self.torn_tails += 1
            self.torn_bytes += damage.length
            return
        self.damaged_ranges += 1
        self.damaged_bytes += damage.length

"""What dead processes left is delivered once, beside what comes in, and its directory removed."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from ingest import metrics
from ingest.adoption import Adoption
from ingest.chunk import Chunk
from ingest.errors import Shed
from ingest.scoreboard import Ledger, Scoreboard
from ingest.spool import Files, orphans
from ingest.spool.cursor import CURSOR_BYTES
from ingest.spool.format import FILE_HEADER_BYTES, encode_file_header, try_file_header
from tests.delivery_rig import chunk_of, ids_in
from tests.spooling_rig import SpoolingRig
from tests.unit.spool.rig import LIMITS
from tests.unit.spool.rig import Rig as SpoolRig
from tests.unit.spooling.rig import ROOM

LEFT = UUID("0f6a1c9e-6d0b-4c7e-9a53-2f1f64a6c001")
ALSO_LEFT = UUID("1f6a1c9e-6d0b-4c7e-9a53-2f1f64a6c001")


def leave(
    data_dir: Path, *records: list[int], settled: int = 0, directory_id: UUID = LEFT
) -> SpoolRig:
    """The directory of a process that is gone; its first `settled` records were delivered."""
    gone = SpoolRig(data_dir, directory_id=directory_id)
    for number, ids in enumerate(records):
        bulk = chunk_of(ids).bulk
        record = gone.spool.append(bulk, len(ids), gone.next_sequence, number)
        gone.next_sequence += len(ids)
        gone.spool.turn()
        if number < settled:
            gone.settle(record)
    gone.tick()
    gone.spool.close()
    return gone


def adoption(rig: SpoolingRig) -> Adoption:
    return Adoption(rig.data_dir, rig.surroundings, rig.spooling, rig.board)


def unsettled(rig: SpoolingRig) -> list[Chunk]:
    return [chunk for chunk in rig.chunks if chunk.lot.unsettled]


def test_what_was_left_is_delivered_once_and_its_directory_removed(rig: SpoolingRig) -> None:
    gone = leave(rig.data_dir, [0, 1], [2], [3, 4, 5], settled=1)

    def settle_what_came() -> bool:
        rig.settle(unsettled(rig))
        return not gone.path.exists()

    rig.run_beside(adoption(rig).keep_looking(), settle_what_came)
    assert [ids_in(chunk.bulk) for chunk in rig.chunks] == [[2], [3, 4, 5]]
    assert rig.ledger == Ledger(recovered=4, indexed=4)
    assert rig.board.read(metrics.SPOOL_ADOPTED) == {"": [1]}
    assert rig.room.pending_bytes == 0


def test_recovered_documents_are_spooled_until_they_are_settled(rig: SpoolingRig) -> None:
    gone = leave(rig.data_dir, [0, 1], [2])
    rig.run_beside(adoption(rig).keep_looking(), lambda: len(rig.chunks) == 2)
    assert rig.ledger == Ledger(recovered=3, spooled=3)
    rig.settle(rig.chunks[:1])
    assert rig.ledger == Ledger(recovered=3, indexed=2, spooled=1)
    assert gone.path.is_dir()


def test_an_adopter_that_ends_gives_the_lock_up_and_the_rest_comes_again(rig: SpoolingRig) -> None:
    gone = leave(rig.data_dir, [0], [1])
    rig.run_beside(adoption(rig).keep_looking(), lambda: len(rig.chunks) == 2)
    rig.wait_until(lambda: orphans(rig.data_dir) == [gone.path])
    rig.chunks.clear()
    rig.run_beside(adoption(rig).keep_looking(), lambda: len(rig.chunks) == 2)
    assert [ids_in(chunk.bulk) for chunk in rig.chunks] == [[0], [1]]


def test_directories_are_drained_one_after_the_other(rig: SpoolingRig) -> None:
    leave(rig.data_dir, [0, 1])
    leave(rig.data_dir, [2], directory_id=ALSO_LEFT)

    def settle_what_came() -> bool:
        assert len(unsettled(rig)) <= 1
        rig.settle(unsettled(rig))
        return not orphans(rig.data_dir) and len(rig.chunks) == 2

    rig.run_beside(adoption(rig).keep_looking(), settle_what_came)
    assert rig.board.read(metrics.SPOOL_ADOPTED) == {"": [2]}


def test_reading_stops_while_there_is_no_room(rig: SpoolingRig) -> None:
    leave(rig.data_dir, [0], [1], [2])
    rig.room.hold(ROOM)
    looks = iter(range(20))

    def look() -> bool:
        if rig.chunks and next(looks, None) is None and rig.room.pending_bytes > ROOM:
            assert len(rig.chunks) == 1
            rig.room.release(ROOM)
        return len(rig.chunks) == 3

    rig.run_beside(adoption(rig).keep_looking(), look)


def test_the_bytes_of_left_and_adopted_spools_are_shown_and_count_against_the_quota(
    board: Scoreboard, tmp_path: Path
) -> None:
    left = [leave(tmp_path, [0], [1]), leave(tmp_path, [2], directory_id=ALSO_LEFT)]
    quota = 2 * (CURSOR_BYTES + 1000)
    limits = replace(LIMITS, quota_bytes=quota, shared_quota_bytes=quota)
    with SpoolingRig(board, tmp_path, limits=limits) as rig:

        def shown() -> int:
            rig.pass_a_second()
            rig.spooling.show()
            (bytes_shown,) = rig.board.read(metrics.SPOOL_BYTES)[""]
            return bytes_shown

        on_disk = [Files().content_bytes(gone.path) for gone in left]
        assert shown() == sum(on_disk) + FILE_HEADER_BYTES
        with pytest.raises(Shed):
            rig.spooling.reserve(quota - sum(on_disk))
        rig.run_beside(adoption(rig).keep_looking(), lambda: len(rig.chunks) == 2)
        assert shown() == sum(on_disk) + FILE_HEADER_BYTES

        def settle_what_came() -> bool:
            rig.settle(unsettled(rig))
            return not any(gone.path.exists() for gone in left)

        rig.run_beside(adoption(rig).keep_looking(), settle_what_came)
        assert shown() == FILE_HEADER_BYTES
        rig.spooling.reserve(quota - sum(on_disk))


def test_damage_is_counted_and_passed_over(rig: SpoolingRig) -> None:
    bulks = [chunk_of([n, n + 1]).bulk for n in (0, 2, 4)]
    gone = leave(rig.data_dir, [0, 1], [2, 3], [4, 5])
    (file,) = gone.path.glob("*.spool")
    file.write_bytes(file.read_bytes().replace(bulks[1], bulks[1].upper()))

    def settle_what_came() -> bool:
        rig.settle(unsettled(rig))
        return not gone.path.exists()

    rig.run_beside(adoption(rig).keep_looking(), settle_what_came)
    assert [ids_in(chunk.bulk) for chunk in rig.chunks] == [[0, 1], [4, 5]]
    assert rig.ledger == Ledger(recovered=6, indexed=4, lost_acked=2)
    assert rig.board.read(metrics.SPOOL_DAMAGED) == {"": [1]}


def damage(path: Path, ids: list[int]) -> None:
    """Change what a left record says."""
    bulk = chunk_of(ids).bulk
    (file,) = path.glob("*.spool")
    file.write_bytes(file.read_bytes().replace(bulk, bulk.upper()))


def test_a_damaged_last_record_is_counted_as_its_header_says(rig: SpoolingRig) -> None:
    gone = leave(rig.data_dir, [0, 1], [2, 3, 4])
    damage(gone.path, [2, 3, 4])

    def settle_what_came() -> bool:
        rig.settle(unsettled(rig))
        return not gone.path.exists()

    rig.run_beside(adoption(rig).keep_looking(), settle_what_came)
    assert rig.ledger == Ledger(recovered=5, indexed=2, lost_acked=3)


@pytest.mark.parametrize(
    ("settled", "delivered", "lost"),
    [
        pytest.param([], [[0], [1]], 0, id="nothing is settled"),
        pytest.param([0], [[0], [1]], 0, id="some before the damage is not"),
        pytest.param([0, 1], [[0], [1], [4]], 2, id="all before the damage is"),
    ],
)
def test_what_is_missing_is_counted_once_though_an_adopter_ends_half_way(
    rig: SpoolingRig, settled: list[int], delivered: list[list[int]], lost: int
) -> None:
    gone = leave(rig.data_dir, [0], [1], [2, 3], [4], [5, 6])
    damage(gone.path, [2, 3])
    damage(gone.path, [5, 6])

    def has_settled() -> bool:
        rig.settle([chunk for chunk in unsettled(rig) if ids_in(chunk.bulk)[0] in settled])
        return [ids_in(each.bulk) for each in rig.chunks] == delivered

    def settle_what_came() -> bool:
        rig.settle(unsettled(rig))
        return not gone.path.exists()

    rig.run_beside(adoption(rig).keep_looking(), has_settled)
    assert rig.ledger.lost_acked == lost
    rig.wait_until(lambda: orphans(rig.data_dir) == [gone.path])
    rig.chunks.clear()
    rig.run_beside(adoption(rig).keep_looking(), settle_what_came)
    assert rig.ledger.lost_acked == 4


def test_a_directory_of_a_newer_version_stays_and_does_not_stop_the_others(
    rig: SpoolingRig,
) -> None:
    newer = leave(rig.data_dir, [0])
    leave(rig.data_dir, [1], directory_id=ALSO_LEFT)
    (file,) = newer.path.glob("*.spool")
    header = try_file_header(file.read_bytes())
    assert header is not None
    content = encode_file_header(replace(header, version=2)) + b"whatever version 2 will hold"
    file.write_bytes(content)
    rig.run_beside(adoption(rig).keep_looking(), lambda: bool(rig.chunks))
    assert ids_in(rig.chunks[0].bulk) == [1]
    assert file.read_bytes() == content


def test_the_directory_of_a_living_process_is_left_alone(rig: SpoolingRig, tmp_path: Path) -> None:
    living = SpoolRig(rig.data_dir)
    bulk = chunk_of([0]).bulk
    living.spool.append(bulk, 1, 0, 0)
    living.spool.turn()
    leave(rig.data_dir, [1], directory_id=ALSO_LEFT)

    def settle_what_came() -> bool:
        rig.settle(unsettled(rig))
        return not (rig.data_dir / "spool" / str(ALSO_LEFT)).exists()

    rig.run_beside(adoption(rig).keep_looking(), settle_what_came)
    living.spool.close()
    assert [ids_in(chunk.bulk) for chunk in rig.chunks] == [[1]]

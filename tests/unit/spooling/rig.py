"""Durable documents, and where they are found."""

from typing import Any

from ingest.intake import Intake
from ingest.model import Target
from ingest.spool import dump
from ingest.spooling import LIVE_SHARE
from tests.delivery_rig import chunk_of
from tests.spooling_rig import SpoolingRig

ROOM = 100_000
FULL = int(ROOM * LIVE_SHARE) + 1


def route(document: dict[str, Any], line: bytes) -> Target:
    raise AssertionError("nothing is routed here")


def durable() -> Intake:
    intake = Intake("durable", route)
    intake.is_read = True
    return intake


def bulk_of(*ids: int, size: int = 0) -> bytes:
    """Bulk lines of these documents; each of at least `size` bytes."""
    lines = [chunk_of([n]).bulk for n in ids]
    return b"".join(line[:-1].ljust(size - 1) + b"\n" for line in lines)


def on_disk(rig: SpoolingRig) -> list[bytes]:
    """The payload of each record."""
    (directory,) = (rig.data_dir / "spool").iterdir()
    return [record.payload for record in dump(directory)]


def fill(rig: SpoolingRig, size: int = FULL) -> None:
    """As documents of other ack levels do; what is committed after this is deferred."""
    rig.room.hold(size)

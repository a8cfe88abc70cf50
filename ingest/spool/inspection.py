"""Looks into a spool directory without changing anything: for `ingest spool check` and `dump`.

Meant for a stopped or copied directory; in one that is being written, the end looks torn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.spool.cursor import read_cursor
from ingest.spool.directory import CURSOR, is_owned
from ingest.spool.errors import UnknownVersion
from ingest.spool.files import Files
from ingest.spool.format import FILE_HEADER_BYTES, Position
from ingest.spool.recovery import DamagedRange, FoundRecord, Scan
from ingest.spool.survey import SurveyedFile, survey


@dataclass(slots=True, frozen=True)
class FileReport:
    """One spool file. Settled records lie below the cursor; damage is listed by byte ranges."""

    name: str
    size: int
    has_sound_header: bool
    created_ms: int | None
    records: int
    documents: int
    unsettled_records: int
    unsettled_documents: int
    damage: tuple[DamagedRange, ...]


@dataclass(slots=True, frozen=True)
class DirectoryReport:
    """A spool directory. `is_owned`: a living process writes to it, or drains it, now."""

    path: Path
    is_owned: bool
    cursor_generation: int
    cursor: Position
    files: tuple[FileReport, ...]
    unknown_versions: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def unsettled_documents(self) -> int:
        return sum(file.unsettled_documents for file in self.files)

    @property
    def is_damaged(self) -> bool:
        """Whether anything but a torn tail is wrong."""
        return any(not file.has_sound_header or _has_holes(file) for file in self.files)


@dataclass(slots=True, frozen=True)
class DumpedRecord:
    """A readable record, settled or not."""

    file: str
    offset: int
    first_sequence: int
    count: int
    is_settled: bool
    payload: bytes


def check(path: Path, files: Files | None = None) -> DirectoryReport:
    """What is in the directory and what is damaged. Reads every byte. Raises OSError."""
    files = files or Files()
    found = survey(files, path)
    generation, cursor = read_cursor(files, path / CURSOR)
    return DirectoryReport(
        path=path,
        is_owned=is_owned(files, path),
        cursor_generation=generation,
        cursor=cursor,
        files=tuple(_report(files, path, file, cursor) for file in found.files),
        unknown_versions=tuple(found.unknown_versions),
        foreign=tuple(found.foreign),
    )


def dump(path: Path, files: Files | None = None) -> Iterator[DumpedRecord]:
    """Every readable record in the order written. Raises OSError, UnknownVersion at the end."""
    files = files or Files()
    found = survey(files, path)
    _, cursor = read_cursor(files, path / CURSOR)
    for file in found.files:
        for item in _items(files, path, file):
            if isinstance(item, FoundRecord):
                yield DumpedRecord(
                    file.name,
                    item.offset,
                    item.first_sequence,
                    item.count,
                    item.first_sequence < cursor.sequence,
                    item.payload,
                )
    if found.unknown_versions:
        raise UnknownVersion(f"{path}: can not read {', '.join(found.unknown_versions)}")


def _report(files: Files, path: Path, file: SurveyedFile, cursor: Position) -> FileReport:
    records = documents = unsettled_records = unsettled_documents = 0
    damage = []
    for item in _items(files, path, file):
        if isinstance(item, DamagedRange):
            damage.append(item)
            continue
        records += 1
        documents += item.count
        if item.first_sequence >= cursor.sequence:
            unsettled_records += 1
            unsettled_documents += item.count
    return FileReport(
        name=file.name,
        size=file.size,
        has_sound_header=file.header is not None,
        created_ms=file.header.created_ms if file.header else None,
        records=records,
        documents=documents,
        unsettled_records=unsettled_records,
        unsettled_documents=unsettled_documents,
        damage=tuple(damage),
    )


def _items(files: Files, path: Path, file: SurveyedFile) -> Iterator[FoundRecord | DamagedRange]:
    descriptor = files.open_for_reading(path / file.name)
    try:
        yield from Scan(files, descriptor, file.salt).items(FILE_HEADER_BYTES)
    finally:
        files.close(descriptor)


def _has_holes(file: FileReport) -> bool:
    return any(not damage.is_tail for damage in file.damage)

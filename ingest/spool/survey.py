"""Sorts the names in a spool directory into spool files, unknown versions and foreign files."""

from dataclasses import dataclass, field
from pathlib import Path

from ingest.spool.directory import CURSOR, LOCK
from ingest.spool.files import Files
from ingest.spool.format import (
    FILE_HEADER_BYTES,
    KNOWN_VERSIONS,
    FileHeader,
    find_file_name,
    try_file_header,
)
from ingest.spool.recovery import read_if_readable


@dataclass(slots=True, frozen=True)
class SurveyedFile:
    """A spool file; `header` is None where its first 64 bytes are damaged or missing."""

    number: int
    salt: int
    name: str
    size: int
    header: FileHeader | None


@dataclass(slots=True)
class Survey:
    """What lies in a directory. `files` are in the order in which they were written."""

    files: list[SurveyedFile] = field(default_factory=list)
    unknown_versions: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


def survey(files: Files, path: Path) -> Survey:
    """Reads every spool file's header and changes nothing. Raises OSError."""
    found = Survey()
    for name in files.names(path):
        if name in (LOCK, CURSOR):
            continue
        surveyed = _try_spool_file(files, path, name)
        if surveyed is None or _is_from_elsewhere(surveyed, path):
            found.foreign.append(name)
        elif surveyed.header and surveyed.header.version not in KNOWN_VERSIONS:
            found.unknown_versions.append(name)
        else:
            found.files.append(surveyed)
    found.files.sort(key=lambda file: file.number)
    return found


def _try_spool_file(files: Files, path: Path, name: str) -> SurveyedFile | None:
    number_and_salt = find_file_name(name)
    if number_and_salt is None or not (path / name).is_file():
        return None
    descriptor = files.open_for_reading(path / name)
    try:
        header = try_file_header(read_if_readable(files, descriptor, FILE_HEADER_BYTES, 0))
        return SurveyedFile(*number_and_salt, name, files.size(descriptor), header)
    finally:
        files.close(descriptor)


def _is_from_elsewhere(surveyed: SurveyedFile, path: Path) -> bool:
    """A sound header that belongs to another directory or name: somebody copied the file here."""
    header = surveyed.header
    if header is None:
        return False
    place = (str(header.directory), header.number, header.salt)
    return place != (path.name, surveyed.number, surveyed.salt)

"""Keeps damaged ranges of spool files for a person, beside the spool directories.

    spool/quarantine/<directory>-<file>-<offset>-<length>.damaged     the range
    spool/quarantine/<directory>-<file>-whole.damaged                 the file, by a second name,
                                                                      where there was no room

The name says where a range comes from, so keeping it twice keeps it once.
"""

from pathlib import Path

from ingest.spool.directory import QUARANTINE, sync_directory
from ingest.spool.files import Files
from ingest.spool.recovery import DamagedRange, Scan

COPY_BLOCK_BYTES = 1024 * 1024


class Quarantine:
    """The quarantine beside one spool directory."""

    def __init__(self, files: Files, directory: Path) -> None:
        self._files = files
        self._directory = directory
        self._path = directory.parent / QUARANTINE

    def keep(self, scan: Scan, number: int, source: Path, damage: DamagedRange) -> bool:
        """Copies the range; True if it is safely aside, False if at best the whole file is.

        A full disk or unreadable sector must not stop the draining: then the file gets a second
        name here, which needs no room, and goes on living under that when the spool unlinks it.
        """
        prefix = f"{self._directory.name}-{number:010d}"
        copy = self._path / f"{prefix}-{damage.offset}-{damage.length}.damaged"
        try:
            self._files.make_directory(self._path)
            self._copy(scan, copy, damage)
            self._sync()
        except OSError:
            self._link(source, self._path / f"{prefix}-whole.damaged")
            return False
        return True

    def _copy(self, scan: Scan, path: Path, damage: DamagedRange) -> None:
        descriptor = self._files.open_or_create(path)
        try:
            for offset in range(damage.offset, damage.end, COPY_BLOCK_BYTES):
                content = scan.read(offset, min(COPY_BLOCK_BYTES, damage.end - offset))
                self._write(descriptor, content, offset - damage.offset)
            self._files.fdatasync(descriptor)
        except OSError:
            self._files.unlink(path)
            raise
        finally:
            self._files.close(descriptor)

    def _write(self, descriptor: int, content: bytes, offset: int) -> None:
        written = 0
        while written < len(content):
            written += self._files.pwrite(descriptor, content[written:], offset + written)

    def _link(self, source: Path, path: Path) -> None:
        try:
            self._files.link(source, path)
            self._sync()
        except OSError:
            return  # it exists already, or not even a name can be made: delivery goes on

    def _sync(self) -> None:
        sync_directory(self._files, self._path)
        sync_directory(self._files, self._path.parent)  # whoever made it may not have come so far

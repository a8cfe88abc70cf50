"""A directory that one process owns: made under a fresh UUID, or taken over from a dead owner.

`flock` on LOCK says who owns it. LOCK is unlinked by the owner only, as the last step but the
`rmdir`; so whoever gets a lock checks that the path still names the file that was locked.
"""

import errno
from pathlib import Path
from uuid import UUID

from ingest.spool.errors import NetworkFileSystem
from ingest.spool.files import Files

LOCK = "LOCK"
CURSOR = "cursor"
QUARANTINE = "quarantine"

_CREATE_ATTEMPTS = 20
_CREATE_PAUSE_S = 0.05
_NETWORK_FILE_SYSTEMS = {
    0x6969: "NFS",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x517B: "SMB",
    0x5346414F: "AFS",
}


class Directory:
    """An owned directory: holds the lock for life, and a descriptor to sync its entries with."""

    def __init__(self, files: Files, path: Path, lock: int) -> None:
        self.path = path
        self.id = UUID(path.name)
        self._files = files
        self._lock: int | None = lock
        self._descriptor: int | None = None

    def sync(self) -> None:
        """Makes creations and removals in it durable. Raises OSError."""
        if self._descriptor is None:
            self._descriptor = self._files.open_for_reading(self.path)
        try:
            self._files.fsync_directory(self._descriptor)
        except OSError:
            self._close_descriptor()  # after a failed fsync it proves nothing any more
            raise

    def remove(self) -> bool:
        """Removes it if nothing but LOCK and cursor is in it; gives the lock up in any case."""
        try:
            if set(self._files.names(self.path)) - {LOCK, CURSOR}:
                return False
            _unlink_if_there(self._files, self.path / CURSOR)
            self.sync()
            self._files.unlink(self.path / LOCK)
            _remove_directory(self._files, self.path)
            return True
        finally:
            self.close()

    def close(self) -> None:
        """Gives the lock up and leaves everything for whoever adopts it."""
        self._close_descriptor()
        if self._lock is not None:
            self._files.close(self._lock)
            self._lock = None

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            self._files.close(self._descriptor)
            self._descriptor = None


def spool_root(data_dir: Path) -> Path:
    """Where the spool directories of all workers lie."""
    return data_dir.resolve() / "spool"


def create_directory(files: Files, data_dir: Path, directory_id: UUID) -> Directory:
    """Makes and locks a directory of that name. Raises OSError, NetworkFileSystem.

    An adopter may see it before it is locked, find it empty and remove it: then it is made again.
    """
    root = spool_root(data_dir)
    _make_directory(files, root)
    refuse_network_file_system(files, root)
    path = root / str(directory_id)
    for _ in range(_CREATE_ATTEMPTS):
        files.make_directory(path)
        if directory := try_lock_directory(files, path):
            sync_directory(files, root)
            sync_directory(files, root.parent)
            return directory
        files.pause(_CREATE_PAUSE_S)  # until it is through with it
    raise OSError(errno.EAGAIN, "spool directory is locked by another process", str(path))


def try_lock_directory(files: Files, path: Path) -> Directory | None:
    """The directory if this process could lock it; None if it is owned or gone."""
    try:
        lock = files.open_or_create(path / LOCK)
    except FileNotFoundError:
        return None
    if files.try_lock(lock) and files.is_same_file(lock, path / LOCK):
        return Directory(files, path, lock)
    files.close(lock)
    return None


def is_owned(files: Files, path: Path) -> bool:
    """Whether a living process holds the lock. Makes no file."""
    try:
        lock = files.open_for_reading(path / LOCK)
    except FileNotFoundError:
        return False
    try:
        return not files.try_lock(lock)
    finally:
        files.close(lock)


def list_directories(files: Files, data_dir: Path) -> list[Path]:
    """All spool directories, owned or not; foreign names are passed over."""
    root = spool_root(data_dir)
    try:
        names = files.names(root)
    except FileNotFoundError:
        return []
    return [root / name for name in names if _is_uuid(name)]


def refuse_network_file_system(files: Files, path: Path) -> None:
    """Raises NetworkFileSystem where a lock or an fsync may mean less than it says."""
    name = _NETWORK_FILE_SYSTEMS.get(files.filesystem_type(path))
    if name:
        raise NetworkFileSystem(
            f"the spool can not lie on {name} ({path}): locks and fsync are not reliable there; "
            "set data_dir to a local disk"
        )


def sync_directory(files: Files, path: Path) -> None:
    """Makes the entries of a directory durable. Raises OSError."""
    descriptor = files.open_for_reading(path)
    try:
        files.fsync_directory(descriptor)
    finally:
        files.close(descriptor)


def _make_directory(files: Files, path: Path) -> None:
    try:
        is_made = files.make_directory(path)
    except FileNotFoundError:
        _make_directory(files, path.parent)
        is_made = files.make_directory(path)
    if is_made:
        sync_directory(files, path.parent)


def _remove_directory(files: Files, path: Path) -> None:
    try:
        files.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # its maker has locked it anew
            raise
    sync_directory(files, path.parent)


def _unlink_if_there(files: Files, path: Path) -> None:
    try:
        files.unlink(path)
    except FileNotFoundError:
        return


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False

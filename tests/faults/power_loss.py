"""What a disk may hold after the power went: everything that was synced, anything else or not.

`RecordingFiles` does every operation and notes it. `Disk` replays notes up to some moment, and
builds a state that a file system may be found in then: of what was not synced, writes may be
there, missing, torn at 512 or 4096 bytes or zeroed, and names may be there or not.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.spool.files import Buffer, Files

FILE_OPERATIONS = ("write", "truncate")
NAME_OPERATIONS = ("make_directory", "create", "unlink", "rmdir")


@dataclass(frozen=True, slots=True)
class Note:
    """An operation, or a `mark` of what a producer or Elasticsearch saw at this moment."""

    what: str
    path: Path = Path()
    offset: int = 0
    content: bytes = b""
    marked: int = -1


class RecordingFiles(Files):
    """Does all, notes all; syncs are noted only, as the machine stays up."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._paths: dict[int, Path] = {}

    def mark(self, what: str, sequence: int) -> None:
        self.notes.append(Note(what, marked=sequence))

    def open_new(self, path: Path) -> int:
        return self._opened(super().open_new(path), path, is_new=True)

    def open_or_create(self, path: Path) -> int:
        is_new = not path.exists()
        return self._opened(super().open_or_create(path), path, is_new)

    def open_for_writing(self, path: Path) -> int:
        return self._opened(super().open_for_writing(path), path, is_new=False)

    def open_for_reading(self, path: Path) -> int:
        return self._opened(super().open_for_reading(path), path, is_new=False)

    def pwritev(self, descriptor: int, buffers: Sequence[Buffer], offset: int) -> int:
        content = b"".join(buffers)
        self.notes.append(Note("write", self._paths[descriptor], offset, content))
        return super().pwritev(descriptor, buffers, offset)

    def pwrite(self, descriptor: int, content: bytes, offset: int) -> int:
        self.notes.append(Note("write", self._paths[descriptor], offset, content))
        return super().pwrite(descriptor, content, offset)

    def ftruncate(self, descriptor: int, length: int) -> None:
        self.notes.append(Note("truncate", self._paths[descriptor], length))
        super().ftruncate(descriptor, length)

    def shrink(self, descriptor: int, length: int) -> None:
        self.notes.append(Note("truncate", self._paths[descriptor], length))
        super().shrink(descriptor, length)

    def fdatasync(self, descriptor: int) -> None:
        self.notes.append(Note("sync", self._paths[descriptor]))

    def fsync_directory(self, descriptor: int) -> None:
        self.notes.append(Note("sync_directory", self._paths[descriptor]))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.notes.append(Note("unlink", path))

    def make_directory(self, path: Path) -> bool:
        is_made = super().make_directory(path)
        if is_made:
            self.notes.append(Note("make_directory", path))
        return is_made

    def rmdir(self, path: Path) -> None:
        super().rmdir(path)
        self.notes.append(Note("rmdir", path))

    def _opened(self, descriptor: int, path: Path, is_new: bool) -> int:
        self._paths[descriptor] = path
        if is_new:
            self.notes.append(Note("create", path))
        return descriptor


@dataclass(frozen=True)
class Fate:
    """What becomes of what was not synced: `write` changes a write, `has_name` picks names."""

    name: str
    write: Callable[[Note], Note | None]
    has_name: Callable[[Note], bool]


class Disk:
    """Everything under one directory, as far as it is durable, and what hangs in the air."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._content: dict[Path, bytes] = {}
        self._names: set[Path] = set()
        self._unsynced: dict[Path, list[Note]] = defaultdict(list)
        self._unsynced_names: list[Note] = []
        for path in root.rglob("*"):
            self._names.add(path)
            if path.is_file():
                self._content[path] = path.read_bytes()

    def replay(self, note: Note) -> None:
        if note.what in FILE_OPERATIONS:
            self._unsynced[note.path].append(note)
        elif note.what in NAME_OPERATIONS:
            if note.what == "create":
                self._content.pop(note.path, None)
                self._unsynced.pop(note.path, None)
            self._unsynced_names.append(note)
        elif note.what == "sync":
            self._content[note.path] = self._with(note.path, self._unsynced.pop(note.path, []))
        elif note.what == "sync_directory":
            self._sync_names(note.path)

    def build(self, fate: Fate, target: Path) -> None:
        """Writes the state under `target`, an empty directory."""
        names = set(self._names)
        for note in self._unsynced_names:
            if fate.has_name(note):
                _apply_name(names, note)
        for path in sorted(names):
            if path.parent != self._root and path.parent not in names:
                names.discard(path)
                continue
            place = target / path.relative_to(self._root)
            if path in self._content or not self._is_directory(path, names):
                writes = [fate.write(note) for note in self._unsynced[path]]
                place.write_bytes(self._with(path, [note for note in writes if note]))
            else:
                place.mkdir()

    def _is_directory(self, path: Path, names: set[Path]) -> bool:
        return path.name in ("spool", "quarantine") or path.parent.name == "spool"

    def _sync_names(self, directory: Path) -> None:
        for note in self._unsynced_names:
            if note.path.parent == directory:
                _apply_name(self._names, note)
        self._unsynced_names = [
            note for note in self._unsynced_names if note.path.parent != directory
        ]

    def _with(self, path: Path, notes: list[Note]) -> bytes:
        content = bytearray(self._content.get(path, b""))
        for note in notes:
            if note.what == "truncate":
                del content[note.offset :]
                continue
            content.extend(bytes(max(note.offset - len(content), 0)))
            content[note.offset : note.offset + len(note.content)] = note.content
        return bytes(content)


def _apply_name(names: set[Path], note: Note) -> None:
    if note.what in ("make_directory", "create"):
        names.add(note.path)
    else:
        names.discard(note.path)


def _kept(note: Note) -> Note:
    return note


def _dropped(note: Note) -> None:
    return None


def _zeroed(note: Note) -> Note:
    return Note(note.what, note.path, note.offset, bytes(len(note.content)))


def _torn_at(block: int) -> Callable[[Note], Note]:
    """The first blocks have arrived: half of them, counted from the file's start."""

    def tear(note: Note) -> Note:
        middle = (note.offset + len(note.content) // 2) // block * block - note.offset
        return Note(note.what, note.path, note.offset, note.content[: max(middle, 0)])

    return tear


def _arrived_backwards(block: int) -> Callable[[Note], Note]:
    """The last blocks have arrived, the first are zeros."""

    def tear(note: Note) -> Note:
        middle = max((note.offset + len(note.content) // 2) // block * block - note.offset, 0)
        content = bytes(middle) + note.content[middle:]
        return Note(note.what, note.path, note.offset, content)

    return tear


WRITE_FATES: list[Callable[[Note], Note | None]] = [
    _kept,
    _dropped,
    _zeroed,
    _torn_at(512),
    _torn_at(4096),
    _arrived_backwards(512),
]


def fates(seed: int, random_fates: int) -> list[Fate]:
    """The plain ones, and some in which each write and name has luck of its own."""
    plain = [
        Fate(f"writes {number}, {has_name.__name__}", write, has_name)
        for number, write in enumerate(WRITE_FATES)
        for has_name in (_all_names, _no_names)
    ]
    return plain + [_random_fate(random.Random(seed + number)) for number in range(random_fates)]


def _all_names(note: Note) -> bool:
    return True


def _no_names(note: Note) -> bool:
    return False


def _random_fate(randomness: random.Random) -> Fate:
    return Fate(
        "random",
        lambda note: randomness.choice(WRITE_FATES)(note),
        lambda note: randomness.random() < 0.5,
    )

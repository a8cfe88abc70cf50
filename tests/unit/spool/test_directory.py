"""Who owns a directory, and when it goes."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from ingest.spool import Files, NetworkFileSystem
from ingest.spool.directory import (
    LOCK,
    Directory,
    create_directory,
    is_owned,
    list_directories,
    try_lock_directory,
)
from tests.required_tools import skip_or_fail
from tests.unit.spool.scripted_files import ScriptedFiles

ID = UUID(int=1)


class InterveningFiles(Files):
    """Runs `between` once, after the LOCK was opened and before it is locked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.has_intervened = False

    def try_lock(self, descriptor: int) -> bool:
        if not self.has_intervened:
            self.has_intervened = True
            os.unlink(self._path / LOCK)
            os.rmdir(self._path)
        return super().try_lock(descriptor)


def test_an_owned_directory_is_locked_against_everybody(tmp_path: Path) -> None:
    directory = create_directory(Files(), tmp_path, ID)
    assert is_owned(Files(), directory.path)
    assert try_lock_directory(Files(), directory.path) is None
    directory.close()
    assert not is_owned(Files(), directory.path)


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from uuid import UUID\n"
        "from ingest.spool import Files\n"
        "from ingest.spool.directory import create_directory\n"
        "directory = create_directory(Files(), Path(sys.argv[1]), UUID(int=1))\n"
        "os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == 9
    assert try_lock_directory(Files(), tmp_path / "spool" / str(ID)) is not None


def test_a_lock_on_a_removed_directory_is_worth_nothing(tmp_path: Path) -> None:
    create_directory(Files(), tmp_path, ID).close()
    path = tmp_path.resolve() / "spool" / str(ID)
    files = InterveningFiles(path)
    assert try_lock_directory(files, path) is None
    assert files.has_intervened


def test_a_directory_that_an_adopter_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    files = InterveningFiles(tmp_path.resolve() / "spool" / str(ID))
    directory = create_directory(files, tmp_path, ID)
    assert files.has_intervened
    assert is_owned(Files(), directory.path)


class WaitingFiles(Files):
    """An adopter locks the directory first, and gives it up during the third pause."""

    def __init__(self) -> None:
        self.adopter: Directory | None = None
        self.pauses = 0

    def make_directory(self, path: Path) -> bool:
        is_made = super().make_directory(path)
        if path.name == str(ID) and not self.pauses and self.adopter is None:
            self.adopter = try_lock_directory(Files(), path)
        return is_made

    def pause(self, seconds: float) -> None:
        self.pauses += 1
        if self.adopter and self.pauses == 3:
            self.adopter.remove()


def test_a_directory_that_an_adopter_holds_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    files = WaitingFiles()
    directory = create_directory(files, tmp_path, ID)
    assert files.pauses == 3
    assert is_owned(Files(), directory.path)


def test_a_directory_that_stays_locked_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    files = WaitingFiles()
    files.pauses = 100
    owner = create_directory(Files(), tmp_path, ID)
    with pytest.raises(OSError, match="locked by another process"):
        create_directory(files, tmp_path, ID)
    owner.close()


def test_an_empty_directory_is_removed_with_its_lock(tmp_path: Path) -> None:
    directory = create_directory(Files(), tmp_path, ID)
    assert directory.remove()
    assert not directory.path.exists()


def test_a_directory_with_something_in_it_stays(tmp_path: Path) -> None:
    directory = create_directory(Files(), tmp_path, ID)
    (directory.path / "notes.txt").write_text("mine")
    assert not directory.remove()
    assert sorted(path.name for path in directory.path.iterdir()) == [LOCK, "notes.txt"]
    assert not is_owned(Files(), directory.path)


def test_only_directories_with_a_uuid_are_listed(tmp_path: Path) -> None:
    assert list_directories(Files(), tmp_path) == []
    wanted = uuid4()
    for name in (str(wanted), "quarantine", "lost+found", str(wanted).upper(), "x"):
        (tmp_path / "spool" / name).mkdir(parents=True)
    assert [path.name for path in list_directories(Files(), tmp_path)] == [str(wanted)]


@pytest.mark.parametrize(
    ("magic", "name"), [(0x6969, "NFS"), (0xFF534D42, "CIFS"), (0xFE534D42, "SMB2")]
)
def test_network_file_systems_are_refused(tmp_path: Path, magic: int, name: str) -> None:
    files = ScriptedFiles()
    files.filesystem = magic
    with pytest.raises(NetworkFileSystem, match=f"can not lie on {name} .* local disk"):
        create_directory(files, tmp_path, ID)


def test_the_kernel_names_the_file_system() -> None:
    if not Path("/proc/self").exists():
        skip_or_fail("Linux with its /proc")
    assert Files().filesystem_type(Path("/proc")) == 0x9FA0

"""A data directory that is a file system of its own, which only the process on it can see."""

import subprocess
from pathlib import Path

from tests.required_tools import require_tool, skip_or_fail
from tests.service import Service

NAMESPACE = ("--user", "--map-root-user", "--mount", "sh", "-c")


def mounting(options: str, directory: Path) -> list[str]:
    """What a command is put behind; `options` are the tmpfs's: `ro`, `size=2m`. May skip."""
    unshare = [require_tool("unshare"), *NAMESPACE]
    mount = f'mount -t tmpfs -o {options} tmpfs "$0"'
    if subprocess.run([*unshare, mount, directory], check=False).returncode:
        skip_or_fail("a kernel that lets this user mount a tmpfs in a namespace of its own")
    return [*unshare, f'{mount} && exec "$@"', str(directory)]


class MountedService(Service):
    """Its data directory is mounted before it starts."""

    def __init__(self, data_dir: Path, elasticsearch: str, options: str, **settings: object):
        super().__init__(data_dir, elasticsearch, **settings)  # type: ignore[arg-type]
        data_dir.mkdir(exist_ok=True)
        self._mounting = mounting(options, data_dir)

    def _command(self) -> list[str]:
        return [*self._mounting, *super()._command()]

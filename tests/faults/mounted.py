"""A service whose data directory is a file system of its own, which only it can see."""

import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.required_tools import require_tool, skip_or_fail
from tests.service import Service

NAMESPACE = ("--user", "--map-root-user", "--mount", "sh", "-c")


class MountedService(Service):
    """`options` are those of the tmpfs on the data directory: `ro`, `size=2m`."""

    def __init__(self, data_dir: Path, elasticsearch: str, options: str, **settings: object):
        super().__init__(data_dir, elasticsearch, **settings)  # type: ignore[arg-type]
        self._mount = f'mount -t tmpfs -o {options} tmpfs "$0"'
        data_dir.mkdir(exist_ok=True)
        self._unshare = [require_tool("unshare"), *NAMESPACE]
        if subprocess.run([*self._unshare, self._mount, data_dir], check=False).returncode:
            skip_or_fail("a kernel that lets this user mount a tmpfs in a namespace of its own")

    def launch(self) -> Self:
        """Start without waiting, behind the mount."""
        command = [*self._unshare, f'{self._mount} && exec "$@"', str(self.data_dir)]
        directory = Path(self._outputs.name)
        with (directory / "stdout").open("ab") as out, (directory / "stderr").open("ab") as err:
            self._process = subprocess.Popen(
                [*command, sys.executable, "-m", "ingest", "serve", *self._options],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self

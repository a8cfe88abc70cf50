"""A load run with its flame graph, figures and commit side by side, in `profiling/results/`.

    python -m profiling.record [any option of profiling.bench]
    python -m profiling.record --reference      the run that is kept: `profiling/reference/`

Renew the reference from a clean checkout when the hot path or the look of the graph has changed.
"""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path("profiling")  # relative, so that no path of a machine is kept
DEFAULTS = ["--repeat", "1", "--sizes", "1000", "--seconds", "10"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m profiling.record", allow_abbrev=False)
    parser.add_argument("--reference", action="store_true", help="renew profiling/reference/")
    chosen, options = parser.parse_known_args()
    commit = _commit()
    folder = FOLDER / "reference" if chosen.reference else _new_folder(commit)
    folder.mkdir(parents=True, exist_ok=chosen.reference)
    outputs = ["--json", str(folder / "figures.json"), "--profile", str(folder / "flame.svg")]
    command = ["-m", "profiling.bench", *DEFAULTS, *options, *outputs]
    (folder / "command.txt").write_text(f"commit {commit}\npython {shlex.join(command)}\n")
    code = subprocess.run([sys.executable, *command], check=False).returncode
    print(folder)
    return code


def _new_folder(commit: str) -> Path:
    return FOLDER / "results" / f"{time.strftime('%Y%m%d-%H%M%S')}-{commit}"


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "no-commit"


if __name__ == "__main__":
    sys.exit(main())

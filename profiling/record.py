"""A load run with its flame graph, figures and commit side by side, in `profiling/results/`.

python -m profiling.record [any option of profiling.bench]
"""

import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
DEFAULTS = ["--repeat", "1", "--sizes", "1000", "--seconds", "10"]


def main() -> int:
    folder = RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}-{_commit()}"
    folder.mkdir(parents=True)
    outputs = ["--json", str(folder / "figures.json"), "--profile", str(folder / "flame.svg")]
    command = [sys.executable, "-m", "profiling.bench", *DEFAULTS, *sys.argv[1:], *outputs]
    (folder / "command.txt").write_text(" ".join(["python", *command[1:]]) + "\n")
    code = subprocess.run(command, check=False).returncode
    print(folder)
    return code


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "no-commit"


if __name__ == "__main__":
    sys.exit(main())

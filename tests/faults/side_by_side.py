"""Cases that share nothing but the machine, some at a time: while one waits another works."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

AT_A_TIME = 3
Case = TypeVar("Case")


def side_by_side(play: Callable[[Case, Path], None], cases: Iterable[Case], root: Path) -> None:
    """Plays each case in a directory of its own; raises what the first that failed has raised."""

    def play_in(case: Case, directory: Path) -> None:
        directory.mkdir()
        try:
            play(case, directory)
        except BaseException as error:
            error.add_note(f"the case: {case}")
            raise

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        played = [
            pool.submit(play_in, case, root / f"case-{number}") for number, case in enumerate(cases)
        ]
    for each in played:
        each.result()

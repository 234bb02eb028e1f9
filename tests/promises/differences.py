"""How a promise fails: with every difference at once, each on a line that begins with its place."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from runtime.migrations import ROOT


def demand_none(differences: Iterable[str]) -> None:
    """Fail with all of them, unless there are none."""
    found = list(differences)
    if found:
        count = "1 difference" if len(found) == 1 else f"{len(found)} differences"
        pytest.fail("\n".join([f"{count} between the promise and the repository:", *found]), pytrace=False)


def place(path: Path, line: int = 1) -> str:
    """Where in the repository, as editors and terminals understand it."""
    return f"{path.relative_to(ROOT)}:{line}"


def line_at(text: str, offset: int) -> int:
    """The number of the line in which a character stands; the first is 1."""
    return text.count("\n", 0, offset) + 1


def compared(written: Mapping[str, str], expected: Iterable[str], otherwise: str) -> Iterator[str]:
    """What is missing from a list and what is superfluous in it.

    ``written`` gives the place of each entry; ``otherwise`` is the place of an entry that is missing.
    """
    wanted = list(expected)
    yield from (f"{otherwise}: expected an entry {entry}" for entry in wanted if entry not in written)
    yield from (f"{where}: expected no entry {entry}" for entry, where in written.items() if entry not in wanted)

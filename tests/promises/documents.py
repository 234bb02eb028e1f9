"""The Markdown documents of the repository, read with the number of each line."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from runtime.migrations import ROOT
from tests.promises.differences import line_at, place

HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


class Row(NamedTuple):
    """A row of a table, and where it stands."""

    place: str
    cells: list[str]


@dataclass(frozen=True)
class Section:
    """The text below a heading, down to the next one of the same height or above."""

    document: "Document"
    line: int
    text: str

    @property
    def place(self) -> str:
        """Where its heading stands."""
        return place(self.document.path, self.line)

    def rows(self) -> list[Row]:
        """The rows of every table, without the tables' heads."""
        lines = list(enumerate(self.text.splitlines(), start=self.line))
        table = [(number, _cells(line)) for number, line in lines if line.startswith("|")]
        rules = {number for number, cells in table if cells[0] and set(cells[0]) <= set("-:")}
        return [
            Row(place(self.document.path, number), cells)
            for number, cells in table
            if number not in rules and number + 1 not in rules
        ]

    def words(self, column: int = 0) -> dict[str, str]:
        """Every word between back-ticks in a column, with its place."""
        return {word: row.place for row in self.rows() for word in quoted(row.cells[column])}


@dataclass(frozen=True)
class Document:
    """A Markdown file."""

    path: Path

    @cached_property
    def text(self) -> str:
        """What it says, to the letter."""
        return self.path.read_text()

    @cached_property
    def prose(self) -> str:
        """What it says outside fenced blocks, on the same lines."""
        return FENCED.sub(lambda block: "\n" * block[0].count("\n"), self.text)

    def section(self, heading: str) -> Section:
        """Raises AssertionError when there is none of that name."""
        pattern = rf"^(#+) {re.escape(heading)}\n.*?(?=^#{{1,2}} |\Z)"
        found = re.search(pattern, self.text, re.MULTILINE | re.DOTALL)
        assert found, f"{place(self.path)}: expected a section called {heading}"
        return Section(self, line_at(self.text, found.start()), found[0])

    def anchors(self) -> set[str]:
        """What a link may name after the #."""
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(self.prose)}

    def matches(self, pattern: re.Pattern[str], *, prose: bool = False) -> Iterator[tuple[str, re.Match[str]]]:
        """The place of every match, and the match; with ``prose`` only outside fenced blocks."""
        text = self.prose if prose else self.text
        for found in pattern.finditer(text):
            yield place(self.path, line_at(text, found.start())), found


def documents() -> list[Document]:
    """Every document for readers, sorted by its path."""
    return [
        Document(path) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("formal/*.md"), *ROOT.glob("docs/**/*.md")])
    ]


def document(name: str) -> Document:
    """One of them, by its path from the root."""
    return Document(ROOT / name)


def quoted(cell: str) -> list[str]:
    """What stands between back-ticks."""
    return re.findall(r"`([^`]+)`", cell)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]

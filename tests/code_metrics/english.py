"""The English in a checkout: comments, docstrings and strings of code, the prose of documents.

A word is a run of letters, with or without an apostrophe in it. Letters beside an underscore or a digit are a name:
``tenant_id``. Not read: Python's identifiers; in Markdown fenced blocks, code between back-ticks, the targets of links.
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

WORD = re.compile(r"\b[A-Za-z]+(?:['\u2019][A-Za-z]+)*\b")
DIALECT = re.compile(r"\b(?:(?:some|every|no)body|who(?:ever|se))\b", re.IGNORECASE)
"""The five words that stand in for a caller, a worker or an operator."""

ALSO_VAGUE = re.compile(r"\b(?:any(?:body|one)|(?:some|every)one)\b", re.IGNORECASE)
"""Words of the same kind. They are reported, and have no limit."""

COMMENT_STRING_OR_TEXT = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|(?<=>)[^<>{}"`;=]*[a-z][^<>{}"`;=]*(?=[<{])""",
    re.DOTALL,
)
CODE_IN_MARKDOWN = re.compile(r"^```.*?^```|`[^`\n]+`|\]\([^)\s]+\)", re.MULTILINE | re.DOTALL)


class Room(StrEnum):
    """A part of the repository; each is counted by itself."""

    CODE = "Python"
    DOCS = "documents"
    TESTS = "Python's tests"
    PAGES = "TypeScript"
    PAGE_TESTS = "TypeScript's tests"


@dataclass(frozen=True)
class Passage:
    """A comment, a string or a document's prose, and where it begins."""

    path: str
    line: int
    text: str

    def found(self, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
        """Every match, with its place as ``path:line``."""
        for match in pattern.finditer(self.text):
            yield f"{self.path}:{self.line + self.text.count(chr(10), 0, match.start())}", match[0]


def tracked(root: Path) -> list[str]:
    """Every file of the checkout, committed or about to be. Raises CalledProcessError where there is no checkout."""
    # The checkout may belong to another user than the one who counts.
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return sorted(path for path in set(listed.splitlines()) if (root / path).is_file())


def room_of(path: str) -> Room | None:
    """Where a file belongs, or None: it is data, is written by a machine, or is written in another language."""
    under_test = path.startswith(("tests/", "dashboard/e2e/")) or ".test." in path
    match path.rpartition(".")[2]:
        case "py":
            return Room.TESTS if under_test else Room.CODE
        case "md":
            return Room.DOCS
        case "ts" | "tsx" | "js" if "__generated__" not in path:
            return Room.PAGE_TESTS if under_test else Room.PAGES
        case _:
            return None


def passages(root: Path) -> dict[Room, list[Passage]]:
    """All of a checkout's English."""
    found: dict[Room, list[Passage]] = {room: [] for room in Room}
    for path in tracked(root):
        if room := room_of(path):
            found[room] += READERS[path.rpartition(".")[2]](path, (root / path).read_text())
    return found


def words(text: Sequence[Passage]) -> int:
    """How many words there are."""
    return sum(len(WORD.findall(one.text)) for one in text)


def per_10_000(text: Sequence[Passage], pattern: re.Pattern[str]) -> float:
    """How often a pattern's words stand among 10,000."""
    matches = sum(len(pattern.findall(one.text)) for one in text)
    return 10_000 * matches / max(words(text), 1)


def _of_python(path: str, source: str) -> Iterator[Passage]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Passage(path, token.start[0], token.string)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Passage(path, node.lineno, node.value)


def _of_typescript(path: str, source: str) -> Iterator[Passage]:
    """Approximately: a text between two tags is taken for what stands between > and < or {."""
    for found in COMMENT_STRING_OR_TEXT.finditer(source):
        yield Passage(path, source.count("\n", 0, found.start()) + 1, found[0])


def _of_markdown(path: str, source: str) -> Iterator[Passage]:
    yield Passage(path, 1, CODE_IN_MARKDOWN.sub(lambda code: " " + "\n" * code[0].count("\n"), source))


READERS: dict[str, Callable[[str, str], Iterator[Passage]]] = {
    "py": _of_python,
    "md": _of_markdown,
    "ts": _of_typescript,
    "tsx": _of_typescript,
    "js": _of_typescript,
}

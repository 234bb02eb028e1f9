"""``make metrics``: what a checkout is made of, counted the same way before a change as after it."""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from graphql import build_schema

from tests.code_metrics.english import ALSO_VAGUE, DIALECT, Passage, Room, passages, per_10_000, room_of, tracked, words
from tests.code_metrics.old_names import old_names
from tests.code_metrics.schema_text import descriptions, repeats_the_name, too_short
from tests.code_metrics.suite import Suite, run_suite

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Path("schema", "schema.graphql")
NOT_MEASURED = "alembic/versions/"
"""Migrations run from top to bottom and are not edited any more: their functions are as long as they are."""

A_MUTATION = re.compile(r"suspend_?tenant", re.IGNORECASE)
"""One mutation under each of its names: how many files know it is how many a new one has to touch."""

LONGEST = 10
COLLECTED = re.compile(r"^(\d+) tests? collected", re.MULTILINE)


class English(NamedTuple):
    """The words of one part of the repository."""

    words: int
    dialect: int
    dialect_per_10_000: float
    also_vague_per_10_000: float


class Descriptions(NamedTuple):
    """The descriptions in the committed GraphQL schema."""

    total: int
    three_words_or_fewer: int
    only_the_name_again: int


class Function(NamedTuple):
    """A function of the product, from its ``def`` to its end, docstring included."""

    lines: int
    name: str
    place: str


@dataclass(frozen=True)
class Metrics:
    """Every figure of a checkout. The product is all Python outside ``tests/``."""

    english: dict[str, English]
    descriptions: Descriptions
    modules: int
    lines: int
    longest_functions: list[Function]
    old_names: int
    files_of_a_mutation: list[str]
    test_cases: int
    suite: Suite | None
    """None when the tests were not to be run."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of this checkout or of another one."""
    parser = argparse.ArgumentParser(prog="python -m tests.code_metrics", description=__doc__)
    parser.add_argument("--at", type=Path, default=ROOT, metavar="DIR", help="the checkout (default: this one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--run-tests", action="store_true", help="run make test, too: its minutes, a mutation's frames")
    chosen = parser.parse_args(arguments)
    measured = measure(chosen.at.resolve(), run_tests=chosen.run_tests)
    shown = json.dumps(_for_json(measured), indent=2) if chosen.json else "\n".join(_lines(measured))
    print(shown)  # noqa: T201  # the figures are this program's product
    return 0


def measure(root: Path, *, run_tests: bool) -> Metrics:
    """Count everything. Collecting the tests takes some seconds, running them some minutes, the rest two seconds.

    Raises RuntimeError when the tests cannot be collected, or fail.
    """
    product = [path for path in tracked(root) if room_of(path) is Room.CODE]
    functions = [one for path in product if not path.startswith(NOT_MEASURED) for one in _functions(root, path)]
    return Metrics(
        english={room.value: english_of(text) for room, text in passages(root).items()},
        descriptions=descriptions_of((root / SCHEMA).read_text()),
        modules=len(product),
        lines=sum(len((root / path).read_text().splitlines()) for path in product),
        longest_functions=sorted(functions, reverse=True)[:LONGEST],
        old_names=len(old_names(root)),
        files_of_a_mutation=[
            path
            for path in product
            if not path.startswith(NOT_MEASURED) and A_MUTATION.search((root / path).read_text())
        ],
        test_cases=_cases(root),
        suite=run_suite(root) if run_tests else None,
    )


def english_of(text: list[Passage]) -> English:
    """The figures of one room."""
    dialect = sum(len(DIALECT.findall(one.text)) for one in text)
    return English(words(text), dialect, round(per_10_000(text, DIALECT), 1), round(per_10_000(text, ALSO_VAGUE), 1))


def descriptions_of(sdl: str) -> Descriptions:
    """The figures of one schema."""
    found = list(descriptions(build_schema(sdl)))
    return Descriptions(
        len(found),
        sum(too_short(description) for _, description in found),
        sum(repeats_the_name(name, description) for name, description in found),
    )


def _functions(root: Path, path: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse((root / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(lines, node.name, f"{path}:{node.lineno}")


def _cases(root: Path) -> int:
    """Raises RuntimeError when pytest could not collect them."""
    own = root / ".venv" / "bin" / "python"
    command = [str(own) if own.exists() else sys.executable, "-m", "pytest", "--collect-only", "-q"]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    listed = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=root, env=environment, capture_output=True, text=True, check=False
    ).stdout
    count = COLLECTED.search(listed)
    if count is None:
        raise RuntimeError(f"pytest could not collect the tests of {root}:\n{listed[-2000:]}")
    return int(count[1])


def _lines(measured: Metrics) -> Iterator[str]:
    yield "whoever, somebody, nobody, everybody, whose per 10,000 words (and anybody, someone, everyone, anyone)"
    yield "  in comments, docstrings and strings of code, in prose of documents"
    for room, english in measured.english.items():
        yield (
            f"  {room:20} {english.dialect_per_10_000:6.1f}  {english.dialect:4} of {english.words:6,} words"
            f"   ({english.also_vague_per_10_000:.1f})"
        )
    yield f"GraphQL descriptions    {measured.descriptions.total:6}"
    yield f"  of three words or fewer {measured.descriptions.three_words_or_fewer:4}"
    yield f"  only the name again     {measured.descriptions.only_the_name_again:4}"
    yield f"modules of the product  {measured.modules:6}"
    yield f"lines of the product    {measured.lines:6,}"
    yield f"old names found         {measured.old_names:6,}"
    yield f"files of a mutation     {len(measured.files_of_a_mutation):6}"
    yield f"test cases collected    {measured.test_cases:6,}"
    if measured.suite:
        yield f"minutes of make test    {measured.suite.minutes:6}"
        yield f"frames of a mutation    {measured.suite.frames_of_a_mutation or 'not counted':>6}"
    yield "longest functions, migrations apart"
    yield from (f"  {one.lines:4} lines  {one.name}  {one.place}" for one in measured.longest_functions)


def _for_json(measured: Metrics) -> dict[str, object]:
    return {
        **asdict(measured),
        "english": {room: english._asdict() for room, english in measured.english.items()},
        "descriptions": measured.descriptions._asdict(),
        "longest_functions": [one._asdict() for one in measured.longest_functions],
        "suite": measured.suite and measured.suite._asdict(),
    }

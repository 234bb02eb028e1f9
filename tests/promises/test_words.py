"""The repository keeps to plain words: those of docs/glossary.md and of the field."""

import ast
import re
from collections.abc import Iterator

import pytest
from graphql import build_schema

from runtime.migrations import ROOT
from tests.code_metrics.english import DIALECT, Passage, Room, passages, per_10_000, tracked
from tests.code_metrics.old_names import STAY, all_old_names
from tests.code_metrics.schema_text import descriptions, repeats_the_name, too_short
from tests.promises.differences import demand_none

MOST_PER_10_000 = 2
"""How often whoever, somebody, nobody, everybody and whose may stand among 10,000 words. Dramatiq has 0.9."""

COUNTING = ("tests/code_metrics/", "tests/unit/test_code_metrics.py", "tests/promises/test_words.py")
"""Files that name the words in order to count them."""

SHORT_DESCRIPTIONS: dict[str, str] = {}
"""GraphQL names that say all by themselves, and why."""

TWO_SUBJECTS: dict[str, str] = {}
"""Modules that open with two subjects, and why they are one module."""

ENUMERATION = re.compile(r":\s|\s\(")
SECOND_SUBJECT = re.compile(r"[,;] and |\band (?:an?|the|how|what|when|where|whether|who) ")


@pytest.fixture(scope="module")
def english() -> dict[Room, list[Passage]]:
    return passages(ROOT)


@pytest.mark.parametrize("room", Room)
def test_every_text_names_what_acts(english: dict[Room, list[Passage]], room: Room) -> None:
    demand_none(too_many([one for one in english[room] if not one.path.startswith(COUNTING)]))


def too_many(text: list[Passage]) -> Iterator[str]:
    """Every place, as soon as there are too many of them."""
    if per_10_000(text, DIALECT) >= MOST_PER_10_000:
        for one in text:
            for where, word in one.found(DIALECT):
                yield f"{where}: expected the thing that acts, such as caller or worker, found {word}"


def test_every_graphql_description_says_more_than_its_name() -> None:
    sdl = (ROOT / "schema" / "schema.graphql").read_text()
    empty = {
        name: description
        for name, description in descriptions(build_schema(sdl))
        if too_short(description) or repeats_the_name(name, description)
    }

    demand_none(
        [
            *(
                f"schema/schema.graphql: {name}: expected units, when it is null or what changes it, found {said!r}"
                for name, said in empty.items()
                if name not in SHORT_DESCRIPTIONS
            ),
            *(f"SHORT_DESCRIPTIONS: expected no entry {name}" for name in SHORT_DESCRIPTIONS if name not in empty),
        ]
    )


def test_no_old_name_is_left() -> None:
    found = list(all_old_names(ROOT))
    needed = {one.stays for one in found}

    demand_none(
        [
            *(f"{one.path}:{one.line}: expected {one.new}, found {one.old}" for one in found if one.stays is None),
            *(f"tests/code_metrics/old_names.py: expected no exemption {stay}" for stay in STAY if stay not in needed),
        ]
    )


def test_every_module_opens_with_one_subject() -> None:
    """What follows a colon lists the parts of the one subject, so only what stands before it counts."""
    double = {path: opening for path, opening in openings() if SECOND_SUBJECT.search(ENUMERATION.split(opening)[0])}

    demand_none(
        [
            *(
                f"{path}:1: expected one subject, found {opening!r}"
                for path, opening in double.items()
                if path not in TWO_SUBJECTS
            ),
            *(f"TWO_SUBJECTS: expected no entry {path}" for path in TWO_SUBJECTS if path not in double),
        ]
    )


def openings() -> Iterator[tuple[str, str]]:
    """The first sentence of every Python module. Those of tests are claims, which may have several parts."""
    for path in tracked(ROOT):
        if path.endswith(".py") and not path.rpartition("/")[2].startswith("test_"):
            docstring = ast.get_docstring(ast.parse((ROOT / path).read_text())) or ""
            yield path, " ".join(re.split(r"(?<=\.)\s", docstring)[0].split())

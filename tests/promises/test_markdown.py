"""Every document keeps the form of a document here: links, names of files, opening, entry in an index."""

import re
from collections.abc import Iterator
from pathlib import Path

from runtime.migrations import ROOT
from tests.promises.differences import demand_none, place
from tests.promises.documents import Document, document, documents

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FILE = re.compile(r"`(\w+(?:/\w+)*/(?:\w+\.\w+)?)`")
ON_ONE_MACHINE = re.compile(r"(?<![\w.<>{}$~*/-])/(?:home|root|work|tmp|Users|opt|usr)/")
NO_SENTENCE = "#|-`<!["

DOCUMENTS = documents()
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    demand_none(difference for one in DOCUMENTS for difference in broken_links(one))


def broken_links(one: Document) -> Iterator[str]:
    for where, found in one.matches(LINK, prose=True):
        target = found[1]
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, fragment = target.partition("#")
        meant = one.path.parent / name if name else one.path
        if not meant.exists():
            yield f"{where}: expected a file at the end of the link {target}"
        elif fragment and fragment not in Document(meant).anchors():
            yield f"{where}: expected a heading #{fragment} in {meant.resolve().relative_to(ROOT)}"


def test_every_file_that_a_document_names_exists() -> None:
    demand_none(
        f"{where}: expected a file {found[1]}"
        for one in DOCUMENTS
        for where, found in one.matches(FILE)
        if not (ROOT / found[1]).exists()
    )


def test_no_document_names_a_path_on_one_machine() -> None:
    demand_none(
        f"{where}: expected no absolute path, found {found[0]}…"
        for one in DOCUMENTS
        for where, found in one.matches(ON_ONE_MACHINE)
    )


def test_every_document_opens_with_a_title_and_a_sentence() -> None:
    demand_none(difference for one in DOCUMENTS for difference in missing_from_the_opening(one))


def missing_from_the_opening(one: Document) -> Iterator[str]:
    title, blank, first = [*one.text.splitlines(), "", "", ""][:3]
    if not title.startswith("# "):
        yield f"{place(one.path, 1)}: expected a title, found {title!r}"
    if blank:
        yield f"{place(one.path, 2)}: expected an empty line, found {blank!r}"
    if not first or first[0] in NO_SENTENCE:
        yield f"{place(one.path, 3)}: expected a sentence that says what the document is for, found {first!r}"


def test_an_index_lists_every_document_every_decision_and_every_page_of_the_api() -> None:
    index, api = document("docs/index.md"), document("docs/api.md")
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "index.md")
    decisions = [f"[{title_of(path)}](adr/{path.name})" for path in DECISIONS]
    api_pages = [f"api/{path.name}" for path in sorted((ROOT / "docs" / "api").glob("*.md"))]

    demand_none(
        [
            *unlisted(index, [f"]({page})" for page in pages]),
            *unlisted(index, decisions),
            *unlisted(api, [f"]({page})" for page in api_pages]),
        ]
    )


def title_of(path: Path) -> str:
    return path.read_text().splitlines()[0].removeprefix("# ")


def unlisted(index: Document, entries: list[str]) -> Iterator[str]:
    return (f"{place(index.path)}: expected an entry with {entry}" for entry in entries if entry not in index.text)


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]

    assert len(set(numbers)) == len(numbers)
    assert set(range(1, max(numbers) + 1)) - set(numbers) == set()

"""Every row in the tables of the security page names tests, and these tests exist."""

import ast
from functools import cache

from runtime.migrations import ROOT
from tests.promises.differences import demand_none
from tests.promises.documents import Row, document, quoted

TABLES = ["Who can do what", "What a tenant's login can do"]


def test_every_row_of_the_security_page_names_tests_that_exist() -> None:
    page = document("docs/security.md")
    rows = [row for heading in TABLES for row in page.section(heading).rows()]

    assert len(rows) > 40
    demand_none(difference for row in rows for difference in wrong_with(row))


def wrong_with(row: Row) -> list[str]:
    """The tests in the last cell of a row that do not exist; a sentence when it names none."""
    named = quoted(row.cells[-1])
    if not named:
        return [f"{row.place}: expected the test that shows this"]
    return [f"{row.place}: expected a test, found {name}" for name in named if not exists(name)]


def exists(name: str) -> bool:
    path, _, test = name.partition("::")
    return test in names_of_tests(path)


@cache
def names_of_tests(path: str) -> frozenset[str]:
    """The names of the tests in a file, by its path from tests/."""
    file = ROOT / "tests" / path
    if not file.is_file():
        return frozenset()
    nodes = ast.walk(ast.parse(file.read_text()))
    return frozenset(
        node.name
        for node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )

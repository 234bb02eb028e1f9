"""Runs every curl and Python example of the API guide, unchanged and in order, against the running product."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devserver import directories
from tests.e2e.test_devserver import Started, clean_environment, started

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["docs/api.md", "docs/api/export.md", "docs/api/python.md"]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS_OWN_SERVERS = "python -m server token"
"""Examples with this command are skipped: they need a deployment, not the development servers."""

EXPECTED_OUTPUT = [
    *('"state":"PROVISIONING"', '"interruptible"', '"alreadyRequested":false', '"state":"PENDING"'),
    *("tenant.provisioning.cancelled", '"number":2', '"code":"INVALID_STATE"', " RUN_FINISHED ", '"totalCount"'),
    *("id,cursor,type,occurredAt", "tenant.provisioning.started", '"type":"org.feed_exported"'),
    *("PROVISIONING\n", "journals PROVISIONING", "RUN_FINISHED The tenant"),
]
"""Parts of the examples' output, in this order."""


def examples() -> list[str]:
    """The code blocks of all pages, in order."""
    blocks = [block for page in PAGES for block in BLOCK.findall((ROOT / page).read_text())]
    return [block for block in blocks if NEEDS_OWN_SERVERS not in block]


@pytest.fixture(scope="module")
def product() -> Iterator[Started]:
    with directories.temporary("tenantry-guide-") as folder, started(folder, "--pace", "2") as running:
        yield running


def test_every_example_works_as_printed(product: Started, tmp_path: Path) -> None:
    script = "\n".join(["set -eu", *examples()])
    replacements = {
        ".tenantry/tokens.json": str(product.data / "tokens.json"),
        ".venv/bin/python": sys.executable,
        "127.0.0.1:8000": product.base.removeprefix("http://"),
        ".localhost:8000": f".localhost:{product.base.rpartition(':')[2]}",
    }
    for printed, actual in replacements.items():
        script = script.replace(printed, actual)

    shell = subprocess.run(
        ["bash"],
        input=script,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=clean_environment(no_proxy="127.0.0.1,localhost,.localhost"),
    )

    assert shell.returncode == 0, shell.stdout + shell.stderr
    assert '"errors"' not in shell.stdout
    position = 0
    for expected in EXPECTED_OUTPUT:
        position = shell.stdout.find(expected, position)
        assert position >= 0, f"{expected!r} is missing, or is printed too early, in:\n{shell.stdout}"


def test_every_page_has_its_number_of_examples() -> None:
    assert [len(BLOCK.findall((ROOT / page).read_text())) for page in PAGES] == [17, 3, 2]

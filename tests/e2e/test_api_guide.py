"""The API's guide, typed as it stands: every example for curl and Python, one after another, on a running product."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devserver import places
from tests.e2e.test_devserver import Started, bare, started

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["docs/api.md", "docs/api/export.md", "docs/api/python.md"]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
ELSEWHERE = "python -m server token"
"""What needs servers of one's own."""

TOLD = [
    *('"state":"PROVISIONING"', '"interruptible"', '"alreadyRequested":false', '"state":"PENDING"'),
    *("tenant.provisioning.cancelled", '"number":2', '"code":"INVALID_STATE"', " RUN_FINISHED ", '"totalCount"'),
    *("id,cursor,type,occurredAt", "tenant.provisioning.started", '"type":"org.feed_exported"'),
    *("PROVISIONING\n", "journals PROVISIONING", "RUN_FINISHED The tenant"),
]
"""Words that the examples print, in this order."""


def examples() -> list[str]:
    """The blocks of all pages, in the order in which they are read."""
    return [block for page in PAGES for block in BLOCK.findall((ROOT / page).read_text()) if ELSEWHERE not in block]


@pytest.fixture(scope="module")
def product() -> Iterator[Started]:
    with places.temporary("tenantry-guide-") as folder, started(folder, "--pace", "2") as running:
        yield running


def test_every_example_works_as_printed(product: Started, tmp_path: Path) -> None:
    script = "\n".join(["set -eu", *examples()])
    here = {
        ".tenantry/tokens.json": str(product.data / "tokens.json"),
        ".venv/bin/python": sys.executable,
        "127.0.0.1:8000": product.base.removeprefix("http://"),
        ".localhost:8000": f".localhost:{product.base.rpartition(':')[2]}",
    }
    for printed, meant in here.items():
        script = script.replace(printed, meant)

    typed = subprocess.run(
        ["bash"],
        input=script,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=bare(no_proxy="127.0.0.1,localhost,.localhost"),
    )

    assert typed.returncode == 0, typed.stdout + typed.stderr
    assert '"errors"' not in typed.stdout
    place = 0
    for words in TOLD:
        place = typed.stdout.find(words, place)
        assert place >= 0, f"{words!r} is missing, or comes too early in:\n{typed.stdout}"


def test_there_are_examples_on_every_page() -> None:
    assert [len(BLOCK.findall((ROOT / page).read_text())) for page in PAGES] == [16, 3, 2]

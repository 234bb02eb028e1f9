"""Every command explains itself: in make help, in CONTRIBUTING, with --help."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from runtime.migrations import ROOT
from tests.promises.differences import compared, demand_none, place
from tests.promises.documents import document

PROGRAMS = sorted(path.parent.name for path in ROOT.glob("*/__main__.py"))
PROCESSES = ["server", "workers"]


def make_targets() -> list[str]:
    """What a person may ask make for."""
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    return phony[1].split()


def test_the_readme_shows_how_to_run_test_and_see_the_product() -> None:
    readme = document("README.md")

    demand_none(
        f"{place(readme.path)}: expected a line that begins with {command}"
        for command in ["make up", "make test", "make demo"]
        if not re.search(rf"^{command}\b", readme.text, re.MULTILINE)
    )


def test_make_help_describes_every_target() -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MAKE") and name != "MFLAGS"
    }
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout

    described = re.findall(r"^ *make (\S+) +\S+", shown, re.MULTILINE)

    assert sorted(described) == sorted(make_targets())


def test_contributing_explains_every_make_target() -> None:
    commands = document("CONTRIBUTING.md").section("Commands")
    explained = {row.cells[0]: row.place for row in commands.rows()}

    demand_none(compared(explained, [f"`make {target}`" for target in make_targets()], commands.place))


def test_every_program_prints_its_usage() -> None:
    with ThreadPoolExecutor() as pool:
        asked = list(pool.map(asking_for_help, PROGRAMS))

    demand_none(
        difference
        for program, ended in zip(PROGRAMS, asked, strict=True)
        for difference in wrong_with_help(program, ended)
    )


def asking_for_help(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def wrong_with_help(program: str, ended: subprocess.CompletedProcess[str]) -> Iterator[str]:
    where = f"{program}/__main__.py:1: python -m {program} --help"
    if ended.returncode:
        yield f"{where}: expected exit code 0, got {ended.returncode}"
    if ended.stderr:
        yield f"{where}: expected nothing on standard error, got {ended.stderr!r}"
    if not ended.stdout.startswith("usage: python -m "):
        yield f"{where}: expected its usage, got {ended.stdout[:80]!r}"


def test_operating_names_every_process() -> None:
    processes = document("docs/operating.md").section("Processes")

    demand_none(
        f"{processes.place}: expected python -m {program}"
        for program in PROCESSES
        if f"python -m {program}" not in processes.text
    )

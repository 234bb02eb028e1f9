"""The source code keeps its own rules: docstrings, exemptions, released steps, nothing left for later."""

import re
import tomllib
from pathlib import Path

from provisioning.saga import do_nothing
from provisioning.steps import saga
from runtime.migrations import ROOT

CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
PACKAGES = [*CONFIGURATION["importlinter"]["root_packages"], "alembic", "tests"]
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LEFT_FOR_LATER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
EXEMPTION = re.compile(r"#\s*(noqa|type:\s*ignore)")
EXPLAINED = re.compile(r"# (noqa: [A-Z0-9, ]+|type: ignore\[[a-z0-9, -]+\])  # \S.*\w")

RELEASED_STEPS = {
    "validate_request": False,
    "allocate_storage": True,
    "allocate_identity": True,
    "allocate_traffic": True,
    "apply_schema": False,
    "deploy_workloads": True,
    "await_readiness": False,
    "mark_active": False,
    "send_welcome_emails": False,
    "confirm_absence": False,
}
"""Every step that a release ever planned runs with, and whether the step takes something.

Add new steps. Remove a step only when no run with it can be live, and no tenant with it can be decommissioned any more.
"""


WRITES_RUNS = re.compile(
    r"""\b(UPDATE|INSERT\ INTO|DELETE\ FROM|MERGE\ INTO)\s+(ONLY\s+)?(runs|run_steps)\b  # a statement
    |\b_update\("(runs|run_steps)"  # a part of one
    |\b(update|insert|delete)\((Run|RunStep)\b|\badd(_all)?\(\[?(Run|RunStep)\(  # the ORM""",
    re.VERBOSE,
)
NOT_AT_WORK = ("tests/", "alembic/", "benchmarks/")
"""Tests and benchmarks prepare rows, and migrations change all of them at once, beside the rules of a run."""


def lines_like(pattern: re.Pattern[str]) -> list[tuple[Path, int, str]]:
    return [
        (path.relative_to(ROOT), number, line)
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if pattern.search(line)
    ]


def test_the_code_has_no_open_task_comments() -> None:
    assert lines_like(LEFT_FOR_LATER) == []


def test_every_exemption_says_why_on_its_line() -> None:
    here = Path(__file__).resolve().relative_to(ROOT)
    silent = [one for one in lines_like(EXEMPTION) if not EXPLAINED.search(one[2]) and one[0] != here]

    assert silent == []


def test_one_module_writes_runs() -> None:
    writing = {str(path) for path in (path.relative_to(ROOT) for path in SOURCES) if writes_runs(path)}

    assert writing == {"provisioning/run_store.py"}


def writes_runs(path: Path) -> bool:
    return not str(path).startswith(NOT_AT_WORK) and WRITES_RUNS.search((ROOT / path).read_text()) is not None


def test_a_released_step_that_took_something_can_still_be_undone() -> None:
    assert {step: saga[step].undo is not do_nothing for step in RELEASED_STEPS} == RELEASED_STEPS


def test_every_step_of_this_release_is_a_released_step() -> None:
    assert {step.name for step in saga} <= set(RELEASED_STEPS)


def test_the_import_order_is_checked_before_every_change() -> None:
    makefile = (ROOT / "Makefile").read_text()
    lint = makefile.split("\nlint:", 1)[1].split("\n\n", 1)[0]

    assert "lint-imports" in lint
    assert "make lint" in (ROOT / ".ci" / "run").read_text()


def test_every_module_has_a_docstring_of_its_own() -> None:
    bare = [
        path.relative_to(ROOT)
        for path in SOURCES
        if path.read_text().strip() and not path.read_text().startswith(('"""', "#!", 'r"""'))
    ]

    assert bare == []

"""``python -m tests.conformance``: prove every promise of the product under faults."""

import argparse
import difflib
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from runtime.migrations import ROOT
from tests.conformance.table import Row, Table, in_markdown, line_of, say

FOLDER = "tests/conformance/field"
MANIFEST_TESTS = f"{FOLDER}/test_manifest.py"
MUTANT_TESTS = f"{FOLDER}/without_protections.py"
PYTEST_OPTIONS = (
    *("-o", "addopts=--strict-markers --strict-config --import-mode=importlib", "-p", "no:terminal"),
    # The check of the ids has imported the scenarios.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)
DOCUMENT = ROOT / "docs" / "conformance.md"


@dataclass(frozen=True)
class Part:
    """Tests that one call of pytest runs."""

    title: str
    arguments: tuple[str, ...]


def parts(options: argparse.Namespace) -> list[Part]:
    """The parts in their order: the quickest to fail first. Scenarios that measure times run one at a time."""
    together = ("-n", str(options.processes), "--dist", "worksteal")
    # A simulation waits for Postgres about a third of its time.
    simulating = ("-n", str(options.processes + 1), "--dist", "worksteal")
    only = ("-k", " or ".join(options.only)) if options.only else ()
    if options.without_protections:
        return [Part("each scenario without its protection", (MUTANT_TESTS, "--share=all", *together, *only))]
    proofs = Part("simulation and exhaustive tiers", ("tests/conformance", f"--ignore={FOLDER}", *simulating, *only))
    processes = [
        Part("process tier", (MANIFEST_TESTS, "--share=together", *together, *only)),
        Part("scenarios that measure or need the whole machine", (MANIFEST_TESTS, "--share=alone", "-n", "0", *only)),
    ]
    return processes if options.only else [*processes, proofs]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the options parts and print the table. The exit code is 0 only if every row passed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    os.environ["TENANTRY_CONFORMANCE"] = "full"
    if options.only and (unknown := _unknown_ids(options.only)):
        parser.error(unknown)
    for repetition in range(1, options.times + 1):
        if options.times > 1:
            say(f"Repetition {repetition} of {options.times}")
        began = time.monotonic()
        rows = _run(parts(options))
        failed = [row for row in rows if row.result != "pass"]
        _print_results(rows, failed, time.monotonic() - began)
        if failed or not rows:
            return 1
        if options.write:
            name = "mutants" if options.without_protections else "table"
            _write(rows, name, _summary(repetition, rows, time.monotonic() - began))
    return 0


def _unknown_ids(words: Sequence[str]) -> str | None:
    """The sentence about the first word that no id of a scenario contains; None if each selects a scenario."""
    # The scenarios read TENANTRY_CONFORMANCE when they are imported.
    from tests.conformance.field import scenarios  # noqa: PLC0415  # only this check needs them
    from tests.conformance.field.scenario import MANIFEST  # noqa: PLC0415  # only this check needs them

    scenarios.load()
    for word in words:
        if not any(word in scenario_id for scenario_id in MANIFEST):
            nearest = difflib.get_close_matches(word, MANIFEST, 3, cutoff=0.4) or sorted(MANIFEST)
            return f"no scenario has {word!r} in its id. The nearest ids: {', '.join(nearest)}."
    return None


def _run(chosen: Sequence[Part]) -> list[Row]:
    table = Table()
    for part in chosen:
        say(f"\n{part.title}")
        code = pytest.main([*PYTEST_OPTIONS, *part.arguments], plugins=[table])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            reason = f"pytest ended with {code!r}"
            table.rows[part.title] = Row(part.title, failed=1, reason=reason)
            say(reason)
    return list(table.rows.values())


def _print_results(rows: Sequence[Row], failed: Sequence[Row], seconds: float) -> None:
    say("")
    for row in rows:
        say(line_of(row))
    say(f"\n{len(rows) - len(failed)} of {len(rows)} rows pass, in {seconds / 60:.1f} minutes.")
    for row in failed:
        say(f"fail  {row.name}: {row.reason or 'none of its cases passed'}")


def _summary(repetition: int, rows: Sequence[Row], seconds: float) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    again = f", {repetition} times in a row" if repetition > 1 else ""
    return f"{when}, {machine}: all {len(rows)} rows pass{again}, in {seconds / 60:.1f} minutes."


def _write(rows: Sequence[Row], name: str, summary: str) -> None:
    """Write the table to docs/conformance.md, between the two marks of its name."""
    text = DOCUMENT.read_text()
    head, _, rest = text.partition(f"<!-- {name} -->\n")
    _, _, tail = rest.partition(f"<!-- end of {name} -->")
    DOCUMENT.write_text(f"{head}<!-- {name} -->\n{summary}\n\n{in_markdown(rows)}\n<!-- end of {name} -->{tail}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make conformance",
        description="Prove what Tenantry promises under faults. Prints one row for each scenario and each proof; the "
        "exit code is 0 only if all pass. A whole run takes about half an hour.",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="ID", default=[], help="only scenarios with one of these words in their id"
    )
    parser.add_argument(
        "--times", type=int, default=1, metavar="N", help="repeat the run N times; stop after the first failure"
    )
    parser.add_argument(
        "--processes", type=int, default=2, metavar="N", help="testbeds at the same time (default: %(default)s)"
    )
    parser.add_argument(
        "--without-protections",
        action="store_true",
        help="run each scenario without the protection that it proves; a row passes if the scenario fails",
    )
    parser.add_argument(
        "--write", action="store_true", help=f"write the table to {DOCUMENT.relative_to(ROOT)} if every row passed"
    )
    return parser

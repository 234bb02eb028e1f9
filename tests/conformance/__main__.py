"""``python -m tests.conformance``: prove what the product promises while everything around it breaks."""

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from runtime.migrations import ROOT
from tests.conformance.table import Row, Table, in_markdown, line_of, say

FOLDER = "tests/conformance/field"
FIELD = f"{FOLDER}/test_manifest.py"
REMOVALS = f"{FOLDER}/without_protections.py"
QUIETLY = ("-o", "addopts=--strict-markers --strict-config --import-mode=importlib", "-p", "no:terminal")
DOCUMENT = ROOT / "docs" / "conformance.md"


@dataclass(frozen=True)
class Part:
    """Tests that are run together."""

    title: str
    arguments: tuple[str, ...]


def parts(chosen: argparse.Namespace) -> list[Part]:
    """What is run, in this order: what takes least to fail comes first. What measures has the machine for itself."""
    together = ("-n", str(chosen.processes), "--dist", "worksteal")
    # A simulated story waits for Postgres about a third of its time.
    more = ("-n", str(chosen.processes + 1), "--dist", "worksteal")
    only = ("-k", " or ".join(chosen.only)) if chosen.only else ()
    if chosen.without_protections:
        return [Part("each scenario without its protection", (REMOVALS, "--share=all", *together, *only))]
    proofs = Part("simulation and exhaustive tiers", ("tests/conformance", f"--ignore={FOLDER}", *more, *only))
    fields = [
        Part("process tier", (FIELD, "--share=together", *together, *only)),
        Part("measured and storms", (FIELD, "--share=alone", "-n", "0", *only)),
    ]
    return fields if chosen.only else [*fields, proofs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and print the table; exit code 1 unless everything held."""
    chosen = _parser().parse_args(arguments)
    os.environ["TENANTRY_CONFORMANCE"] = "full"
    for time_ in range(1, chosen.times + 1):
        if chosen.times > 1:
            say(f"Time {time_} of {chosen.times}")
        began = time.monotonic()
        rows = _run(parts(chosen))
        failed = [row for row in rows if row.result != "pass"]
        _tell(rows, failed, time.monotonic() - began)
        if failed or not rows:
            return 1
        if chosen.write:
            name = "removals" if chosen.without_protections else "table"
            _write(rows, name, _said_of(time_, rows, time.monotonic() - began))
    return 0


def _run(wanted: Sequence[Part]) -> list[Row]:
    table = Table()
    for part in wanted:
        say(f"\n{part.title}")
        code = pytest.main([*QUIETLY, *part.arguments], plugins=[table])
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            reason = f"pytest ended with {code!r}"
            table.rows[part.title] = Row(part.title, failed=1, reason=reason)
            say(reason)
    return list(table.rows.values())


def _tell(rows: Sequence[Row], failed: Sequence[Row], seconds: float) -> None:
    say("")
    for row in rows:
        say(line_of(row))
    say(f"\n{len(rows) - len(failed)} of {len(rows)} hold, in {seconds / 60:.1f} minutes.")
    for row in failed:
        say(f"fail  {row.name}: {row.reason or 'no case of it passed'}")


def _said_of(time_: int, rows: Sequence[Row], seconds: float) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    again = f", {time_} times in a row" if time_ > 1 else ""
    return f"{when}, {machine}: all of {len(rows)} rows hold{again}, in {seconds / 60:.1f} minutes."


def _write(rows: Sequence[Row], name: str, said: str) -> None:
    """Put the table where people read it, between the two marks of its name."""
    text = DOCUMENT.read_text()
    head, _, rest = text.partition(f"<!-- {name} -->\n")
    _, _, tail = rest.partition(f"<!-- end of {name} -->")
    DOCUMENT.write_text(f"{head}<!-- {name} -->\n{said}\n\n{in_markdown(rows)}\n<!-- end of {name} -->{tail}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make conformance",
        description="Prove what Tenantry promises while everything around it breaks: print a row for every scenario "
        "and every proof, and end with 0 only when all of them hold. It takes about half an hour.",
    )
    parser.add_argument("--only", nargs="+", metavar="ID", default=[], help="scenarios whose ids contain these words")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="so many times in a row, until one fails")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="fields at the same time (%(default)s)")
    parser.add_argument(
        "--without-protections",
        action="store_true",
        help="take from each scenario the protection that it proves, and demand that it fails",
    )
    parser.add_argument("--write", action="store_true", help=f"write the table to {DOCUMENT.relative_to(ROOT)}")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

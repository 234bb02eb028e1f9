"""The rows of the conformance table: one for each scenario or proof, with its result and figure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

SCENARIO = "test_scenario"
REMOVAL = "test_without_its_protection"


@dataclass
class Row:
    """One row. A proof with many cases has one row for all of them."""

    name: str
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    figures: list[str] = field(default_factory=list)
    reason: str = ""
    """The error of the last case that failed, in one line."""

    @property
    def result(self) -> str:
        """``pass`` or ``fail``. A row without a case that ran has failed."""
        return "fail" if self.failed or not self.passed else "pass"

    @property
    def figure(self) -> str:
        """What the cases counted or measured."""
        cases = [f"{self.passed} cases"] if self.passed > 1 else []
        return "; ".join(self.figures or cases)


class Table:
    """A pytest plugin that collects rows. It prints each result, and the error of each failure, at once."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one report to its row. An error in setup or teardown counts as a failure."""
        if report.when != "call" and not report.failed:
            return
        row = self.rows.setdefault(name_of(report.nodeid), Row(name_of(report.nodeid)))
        row.seconds += report.duration
        if report.failed:
            row.failed += 1
            row.reason = reason_of(report)
            say(f"\n{row.name} fails:\n{report.longreprtext}\n")
        elif report.passed:
            row.passed += 1
        row.figures += [str(value) for key, value in report.user_properties if key == "figure"]
        if report.nodeid.endswith("]") and "field" in report.nodeid:
            say(line_of(row))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Add a failed row for a module that cannot be imported."""
        if report.failed:
            reason = report.longreprtext.strip().rpartition("\n")[2]
            self.rows[report.nodeid] = Row(report.nodeid, failed=1, reason=reason)
            say(report.longreprtext)


def name_of(node_id: str) -> str:
    """The id of a scenario; for other proofs the name of the test without its case."""
    test, _, case = node_id.rsplit("::", maxsplit=1)[-1].partition("[")
    if test == SCENARIO:
        return case.removesuffix("]")
    if test == REMOVAL:
        return f"without: {case.removesuffix(']')}"
    return test.removeprefix("test_")


def reason_of(report: pytest.TestReport) -> str:
    """The first line of the error, at most 200 characters."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join(str(getattr(crash, "message", report.longreprtext)).strip().splitlines()[:1])[:200]


def line_of(row: Row) -> str:
    """A row for the terminal."""
    return f"{row.result:4}  {row.name:60} {row.seconds:6.1f} s  {row.figure}"


def in_markdown(rows: Iterable[Row]) -> str:
    """The rows for docs/conformance.md."""
    lines = [f"| `{row.name}` | {row.result} | {row.figure.replace('|', '/')} | {row.seconds:.0f} s |" for row in rows]
    return "\n".join(["| scenario | result | figure | took |", "|---|---|---|---|", *lines])


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)  # noqa: T201  # this program's output

"""Runs the checks of one port against one adapter with pytest."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters.kit.check_context import CheckContext
from adapters.kit.ports import PORTS
from adapters.kit.subject import Subject

HERE = Path(__file__).parent
COMPLETED = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}


@dataclass
class Results:
    """The results by name of check. ``ran`` is false when pytest could not run the checks or was interrupted."""

    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    skipped: dict[str, str] = field(default_factory=dict)
    ran: bool = False

    @property
    def exit_code(self) -> int:
        """0: all checks passed. 1: a check failed. 2: the checks did not run. 3: none failed, but some were skipped."""
        if not self.ran:
            return 2
        return 1 if self.failed else 3 if self.skipped else 0


def run(port: str, subject: Subject, options: Sequence[str] = ()) -> Results:
    """Run the checks, with the output of pytest. ``options`` are passed to pytest."""
    plugin = KitPlugin(port, subject)
    files = [str(HERE / "checks" / f"{name}.py") for name in PORTS[port].checks]
    code = pytest.main(["-c", str(HERE / "pytest.ini"), "--rootdir", str(HERE), *options, *files], plugins=[plugin])
    plugin.results.ran = code in COMPLETED and bool(plugin.results.passed or plugin.results.failed)
    return plugin.results


class KitPlugin:
    """The pytest plugin that creates the context of each check and collects the results."""

    def __init__(self, port: str, subject: Subject) -> None:
        self.results = Results()
        self._port = port
        self._subject = subject
        self._meanings: dict[str, str] = {}

    @pytest.fixture
    def context(self) -> Iterator[CheckContext]:
        """The context of a check."""
        with ExitStack() as stack:
            yield CheckContext(PORTS[self._port], self._subject, stack)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Store what a failure of this check means: its docstring."""
        assert isinstance(item, pytest.Function), "the kit's checks are functions"
        self._meanings[_name(item.nodeid)] = item.function.__doc__ or ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Store the result of a check."""
        name = _name(report.nodeid)
        if report.failed:
            self.results.failed.add(name)
        elif report.skipped:
            self.results.skipped[name] = _reason(report)
        elif report.when == "teardown":
            self.results.passed.update({name} - self.results.failed - self.results.skipped.keys())

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Store the checks that an option of pytest deselected as skipped."""
        self.results.skipped.update({_name(item.nodeid): "deselected by an option of pytest" for item in items})

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Call it a skipped check, with a letter that differs from a failure."""
        return ("skipped", "?", "SKIPPED") if report.skipped else None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what each failed check means, and which checks were skipped."""
        results, output = self.results, terminalreporter
        output.section(f"results for this {self._port}")
        for name in sorted(results.failed):
            output.line(f"FAILED   {name}: {' '.join(self._meanings[name].split())}", red=True)
        for name, reason in results.skipped.items():
            output.line(f"SKIPPED  {name}: {reason}", yellow=True)
        output.line(f"{len(results.passed)} passed, {len(results.failed)} failed, {len(results.skipped)} skipped")


def _name(nodeid: str) -> str:
    return nodeid.rpartition("::")[2].removeprefix("test_")


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")

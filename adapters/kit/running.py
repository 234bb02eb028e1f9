"""Runs the checks of one port against one adapter, by pytest."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from adapters.kit.case import Case
from adapters.kit.ports import PORTS
from adapters.kit.subject import Subject

HERE = Path(__file__).parent
RAN = {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}


@dataclass
class Verdict:
    """Names of checks. ``ran`` is false when pytest could not run them or was interrupted."""

    kept: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    untried: dict[str, str] = field(default_factory=dict)
    ran: bool = False

    @property
    def exit_code(self) -> int:
        """0: everything was tried and kept. 1: something is broken. 2: it did not run. 3: kept, as far as tried."""
        if not self.ran:
            return 2
        return 1 if self.broken else 3 if self.untried else 0


def run(port: str, subject: Subject, options: Sequence[str] = ()) -> Verdict:
    """Check it, and print what pytest prints; ``options`` go to pytest."""
    bench = Bench(port, subject)
    files = [str(HERE / "checks" / f"{name}.py") for name in PORTS[port].checks]
    code = pytest.main(["-c", str(HERE / "pytest.ini"), "--rootdir", str(HERE), *options, *files], plugins=[bench])
    bench.verdict.ran = code in RAN and bool(bench.verdict.kept or bench.verdict.broken)
    return bench.verdict


class Bench:
    """The pytest plugin that gives each check its case, and keeps the verdict."""

    def __init__(self, port: str, subject: Subject) -> None:
        self.verdict = Verdict()
        self._port = port
        self._subject = subject
        self._meanings: dict[str, str] = {}

    @pytest.fixture
    def case(self) -> Iterator[Case]:
        """What the check works with."""
        with ExitStack() as stack:
            yield Case(PORTS[self._port], self._subject, stack)

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Remember what it means when this check fails."""
        assert isinstance(item, pytest.Function), "the kit's checks are functions"
        self._meanings[_name(item.nodeid)] = item.function.__doc__ or ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep how it went."""
        name = _name(report.nodeid)
        if report.failed:
            self.verdict.broken.add(name)
        elif report.skipped:
            self.verdict.untried[name] = _reason(report)
        elif report.when == "teardown":
            self.verdict.kept.update({name} - self.verdict.broken - self.verdict.untried.keys())

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Keep what an option of pytest's left out: it is not known whether that is kept."""
        self.verdict.untried.update({_name(item.nodeid): "left out by an option of pytest's" for item in items})

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Call a check that lacked something by its name."""
        return ("not tried", "?", "NOT TRIED") if report.skipped else None

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what each broken check means, and what was not tried."""
        verdict, tell = self.verdict, terminalreporter
        tell.section(f"verdict on this {self._port}")
        for name in sorted(verdict.broken):
            tell.line(f"BROKEN     {name}: {' '.join(self._meanings[name].split())}", red=True)
        for name, reason in verdict.untried.items():
            tell.line(f"NOT TRIED  {name}: {reason}", yellow=True)
        tell.line(f"{len(verdict.kept)} kept, {len(verdict.broken)} broken, {len(verdict.untried)} not tried")


def _name(nodeid: str) -> str:
    return nodeid.rpartition("::")[2].removeprefix("test_")


def _reason(report: pytest.TestReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: not tried, because it ")

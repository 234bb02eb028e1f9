"""The manifest of scenarios."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from tests.conformance.field.api_clients import ApiClient, ApiClients, Saga, create_clients
from tests.conformance.field.failpoint_controller import Halt
from tests.conformance.field.invariant_checker import SETTLED_WITHIN, InvariantChecker
from tests.conformance.field.testbed import Options, Testbed, running_testbed
from tests.conformance.scale import FULL

ALL_RUNS = 1_000_000
"""Attempts that a halt may stop before the id of its run is known: more than there are."""


@dataclass
class ScenarioHarness:
    """The harness of one scenario: a testbed, the clients of a new organisation, and an invariant checker."""

    testbed: Testbed
    clients: ApiClients
    checker: InvariantChecker
    numbers: Iterator[int] = field(default_factory=partial(count, 1))

    @property
    def owner(self) -> ApiClient:
        """The default client."""
        return self.clients.owner

    @property
    def reduced(self) -> bool:
        """Whether the scale is reduced: in the selection of ``make test`` and with a mutant."""
        return not FULL or bool(self.testbed.options.without)

    def scaled(self, full: int, *, reduced: int = 12) -> int:
        """``full`` in a full run, ``reduced`` otherwise."""
        return reduced if self.reduced else full

    def sample(self, things: Sequence[str]) -> Sequence[str]:
        """All of them in a full run, two otherwise."""
        return things[1:3] if self.reduced else things

    def within(self, seconds: float, *, without_protection: float = 15.0) -> float:
        """A timeout in seconds; a shorter one with a mutant, where the condition is expected to fail."""
        return without_protection if self.testbed.options.without else seconds

    def create(self, **fields: object) -> Saga:
        """Create another tenant and start its provisioning."""
        return self.owner.create(f"t{next(self.numbers)}", **fields)

    def create_halted(
        self, where: str, *, step: str = "", stoppable: bool = False, **fields: object
    ) -> tuple[Saga, Halt]:
        """Create another tenant, with a halt for its run at this place. Other runs do not halt there."""
        halt = self.testbed.controller.halt_at(where, step=step, stoppable=stoppable, times=ALL_RUNS)
        saga = self.create(**fields)
        halt.restrict_to(saga.run_id)
        return saga, halt

    def cancel(self, saga: Saga, by: ApiClient | None = None, **fields: object) -> bool:
        """Cancel and record the answer in the invariant checker; returns whether it was accepted."""
        client = by or self.owner
        return self.checker.record_answer(saga, client.cancel(saga, **fields), client.name)

    def await_all_runs(self, within: float = SETTLED_WITHIN) -> dict[str, int]:
        """Wait until every run has finished and check every invariant; returns the number of runs by status."""
        self.testbed.controller.clear()
        self.checker.await_settled(within)
        return dict(self.checker.check_all())


STANDARD = Options()
ScenarioFunction = Callable[[ScenarioHarness], str]


@dataclass(frozen=True)
class Scenario:
    """An entry of the manifest. ``run`` returns the figure of its row, or raises AssertionError."""

    id: str
    run: ScenarioFunction
    options: Options
    mutants: tuple[str, ...]
    """Each of them has to break the scenario."""
    breaks: tuple[str, ...]
    """The invariants that break with the mutant, as far as the checks from outside can see.

    If there are several, it depends on timing which of them is found first.
    """
    alone: bool
    """Whether no other scenario may run beside it, because it measures times or needs the whole machine."""
    quick: bool
    """Whether it is in the selection of ``make test``."""


MANIFEST: dict[str, Scenario] = {}


def scenario(
    *,
    without: str | tuple[str, ...],
    breaks: str | tuple[str, ...],
    options: Options = STANDARD,
    alone: bool = False,
    quick: bool = False,
) -> Callable[[ScenarioFunction], ScenarioFunction]:
    """Add a function to the manifest under its name. With each mutant ``without``, one of ``breaks`` has to break."""

    def declare(run: ScenarioFunction) -> ScenarioFunction:
        assert run.__name__ not in MANIFEST, f"{run.__name__} is declared twice"
        invariants = (breaks,) if isinstance(breaks, str) else breaks
        mutants = (without,) if isinstance(without, str) else without
        MANIFEST[run.__name__] = Scenario(run.__name__, run, options, mutants, invariants, alone, quick)
        return run

    return declare


@dataclass
class SharedTestbeds:
    """Testbeds that are reused by several scenarios. A testbed is closed after a failure."""

    open: dict[Options, tuple[Testbed, object]] = field(default_factory=dict)

    @contextmanager
    def harness(self, scenario_: Scenario) -> Iterator[ScenarioHarness]:
        """A harness on a testbed with the scenario's options, with a new organisation."""
        if scenario_.options not in self.open:
            self.close()
            context = running_testbed(scenario_.options)
            self.open[scenario_.options] = (context.__enter__(), context)
        testbed, _ = self.open[scenario_.options]
        try:
            clients = create_clients(testbed)
            yield ScenarioHarness(testbed, clients, InvariantChecker(clients))
            testbed.controller.clear()
            testbed.replace_dead_workers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close every testbed."""
        while self.open:
            _, (_, context) = self.open.popitem()
            context.__exit__(None, None, None)  # type: ignore[attr-defined]  # a context manager's own type is private


@contextmanager
def running_mutant(scenario_: Scenario, mutant: str) -> Iterator[ScenarioHarness]:
    """A harness on a testbed that runs this mutant of the scenario."""
    with running_testbed(replace(scenario_.options, without=mutant)) as testbed:
        clients = create_clients(testbed)
        yield ScenarioHarness(testbed, clients, InvariantChecker(clients))

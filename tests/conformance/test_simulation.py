"""Every run ends correctly without leftover resources, whatever faults occur in whatever order."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast
from uuid import UUID

import pytest
from dramatiq.middleware import Interrupt, Shutdown, TimeLimitExceeded
from hypothesis import HealthCheck, Phase, note
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from runtime.database import Database
from runtime.settings import Settings
from tests.conformance import mutants
from tests.conformance.flaky_infrastructure import CALLS, CallFault
from tests.conformance.invariant_checker import ENDED_RUNS
from tests.conformance.nemesis import TransactionFault
from tests.conformance.scale import FULL
from tests.conformance.simulation import Simulation
from tests.conformance.virtual_waits import POLLS
from tests.conformance.virtual_worker import VirtualWorker


@dataclass(frozen=True)
class ExamplePlan:
    """The number of examples, the rules of each, and the undisturbed moves before them, at most."""

    examples: int
    rules: int
    undisturbed_moves: int


SHORT, LONG = (
    (ExamplePlan(250, 6, 6), ExamplePlan(20, 50, 10)) if FULL else (ExamplePlan(66, 4, 6), ExamplePlan(6, 40, 10))
)
PLANS = [SHORT] * (8 if FULL else 3) + [LONG] * 2
"""Several plans, so that several processes can share the work. Most bugs need few rules; some need many."""

KEPT = 60.0
"""Seconds for which the workers keep a run: longer than an example takes."""

INDEX = st.integers(0, 5)
OPERATOR = st.integers(0, 2)
FAILPOINTS = st.integers(0, 14)
SLUGS = st.sampled_from(["shop", "blog", "wiki"])
REQUESTS = st.sampled_from(["retry", "decommission", "recreate", "suspend", "resume"])
INTERRUPTS: st.SearchStrategy[type[Interrupt]] = st.sampled_from([Shutdown, TimeLimitExceeded])

Action = Callable[..., None]


def checked_rule(**options: st.SearchStrategy[Any]) -> Callable[[Action], Action]:
    """A rule after which every invariant is checked. An invariant of Hypothesis would print a line each time."""

    def decorate(action: Action) -> Action:
        @wraps(action)
        def check_after(machine: "Machine", **arguments: Any) -> None:
            action(machine, **arguments)
            machine.simulation.check()

        # Hypothesis' overloads have no case for strategies that are passed on.
        ruled = cast("Callable[..., Callable[[Action], Action]]", rule)
        return ruled(**options)(check_after)

    return decorate


class Machine(RuleBasedStateMachine):
    """The events that may happen. The simulation logs each as one line, which a failing example prints."""

    database: Database
    settings: Settings
    undisturbed_moves: int

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        with_active_tenant = data.draw(st.sampled_from([False, False, True]))
        moves = data.draw(st.integers(0, self.undisturbed_moves))
        self.simulation = Simulation(self.database, self.settings, note)
        # A worker that keeps its run makes many moves with one message; the others make one.
        self.simulation.keep_for = data.draw(st.sampled_from([0.0, KEPT]))
        self.simulation.create("shop", start=True, by=self.simulation.operators[0])
        if with_active_tenant:
            self.simulation.deliver_all()
            self.simulation.create("blog", start=True, by=self.simulation.operators[1])
        self.simulation.deliver_all(moves)
        if data.draw(st.booleans()):
            # Without this, only one run in ten would be cancelled.
            self.simulation.cancel(self.simulation.tenants[-1], self.simulation.operators[2], notify=False)

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.simulation.finish()
                self.simulation.provision_again()
        finally:
            self.simulation.close()

    @precondition(lambda self: len(self.simulation.tenants) < 4)
    @checked_rule(slug=SLUGS, start=st.booleans(), operator=OPERATOR)
    def a_tenant_is_created(self, slug: str, start: bool, operator: int) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.simulation.create(slug, start=start, by=self.simulation.operators[operator])

    @checked_rule(index=INDEX, operator=OPERATOR, notify=st.booleans())
    def a_tenant_is_cancelled(self, index: int, operator: int, notify: bool) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.simulation.cancel(self._tenant(index), self.simulation.operators[operator], notify=notify)

    @checked_rule(name=REQUESTS, index=INDEX, operator=OPERATOR)
    def a_command_is_submitted(self, name: str, index: int, operator: int) -> None:
        self.simulation.manage(name, self._tenant(index), self.simulation.operators[operator])

    @checked_rule(index=INDEX, operator=OPERATOR, skip=st.booleans())
    def an_undo_is_resumed(self, index: int, operator: int, skip: bool) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.simulation.resume_undo(self._tenant(index), self.simulation.operators[operator], skip=skip)

    @checked_rule()
    def all_messages_are_delivered(self) -> None:
        self.simulation.deliver_all()

    @checked_rule(moves=st.integers(1, 12))
    def some_messages_are_delivered(self, moves: int) -> None:
        self.simulation.deliver_all(moves)

    @precondition(lambda self: self.simulation.messages)
    @checked_rule(index=INDEX, keep=st.booleans(), failpoints=FAILPOINTS)
    def a_worker_pauses(self, index: int, keep: bool, failpoints: int) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.simulation.deliver(self._message(index), keep=keep, failpoints=failpoints)

    @precondition(lambda self: self.simulation.messages)
    @checked_rule(index=INDEX, keep=st.booleans(), failpoints=FAILPOINTS)
    def a_worker_is_killed(self, index: int, keep: bool, failpoints: int) -> None:  # noqa: FBT001  # Hypothesis' choice
        worker = self.simulation.deliver(self._message(index), keep=keep, failpoints=failpoints)
        if not worker.ended:
            self.simulation.kill(worker)

    @precondition(lambda self: self.simulation.messages)
    @checked_rule(index=INDEX, failpoints=FAILPOINTS, interrupt=INTERRUPTS)
    def a_worker_is_interrupted(self, index: int, failpoints: int, interrupt: type[Interrupt]) -> None:
        worker = self.simulation.deliver(self._message(index), failpoints=failpoints)
        # The threads of polls are not those of messages, so no interrupt reaches a worker between two polls.
        if not (worker.ended or worker.waits):
            self.simulation.resume(worker, error=interrupt())

    @precondition(lambda self: self.simulation.workers)
    @checked_rule(index=INDEX, failpoints=FAILPOINTS, late=st.booleans())
    def a_paused_worker_resumes(self, index: int, failpoints: int, late: bool) -> None:  # noqa: FBT001  # Hypothesis' choice
        worker = self._worker(index)
        if late:
            self.simulation.expire_leases(worker.run_id)
        self.simulation.resume(worker, failpoints)

    @precondition(lambda self: self.simulation.workers)
    @checked_rule(index=INDEX)
    def a_slow_worker_renews_its_lease(self, index: int) -> None:
        self.simulation.renew_lease(self._worker(index))

    @precondition(lambda self: self.simulation.workers)
    @checked_rule(index=INDEX)
    def a_worker_shuts_down(self, index: int) -> None:
        self.simulation.shut_down(self._worker(index))

    @checked_rule()
    def every_lease_lapses(self) -> None:
        self.simulation.expire_leases()

    @checked_rule(long=st.booleans())
    def time_passes(self, long: bool) -> None:  # noqa: FBT001  # Hypothesis' choice
        self.simulation.end_waits()
        if long:
            self.simulation.expire_attempts()
        self.simulation.sweep()

    @checked_rule(index=INDEX)
    def a_deadline_passes(self, index: int) -> None:
        self.simulation.pass_deadline(self._tenant(index))
        self.simulation.sweep()

    @checked_rule()
    def the_broker_loses_everything(self) -> None:
        self.simulation.messages.clear()

    @checked_rule(faults=st.lists(st.sampled_from(TransactionFault), min_size=1, max_size=3))
    def postgres_fails_transactions(self, faults: list[TransactionFault]) -> None:
        self.simulation.nemesis.faults[:] = faults

    @checked_rule(call=st.sampled_from(CALLS), fault=st.sampled_from(CallFault))
    def a_call_is_given_a_fault(self, call: str, fault: CallFault) -> None:
        self.simulation.flaky.faults.setdefault(call, []).append(fault)

    @precondition(lambda self: self.simulation.flaky.in_flight)
    @checked_rule(index=INDEX)
    def a_late_call_takes_effect(self, index: int) -> None:
        self.simulation.complete_late_call(index % len(self.simulation.flaky.in_flight))

    def _tenant(self, index: int) -> UUID:
        return self.simulation.tenants[index % len(self.simulation.tenants)]

    def _worker(self, index: int) -> VirtualWorker:
        return self.simulation.workers[index % len(self.simulation.workers)]

    def _message(self, index: int) -> int:
        return index % len(self.simulation.messages)


@pytest.mark.parametrize("share", range(len(PLANS)))
def test_every_run_ends_correctly_under_random_faults(
    simulation_database: Database,
    simulation_settings: Settings,
    share: int,
    record_property: Callable[[str, object], None],
) -> None:
    plan, before, polls_before = PLANS[share], Counter(ENDED_RUNS), Counter(POLLS)

    explore(simulation_database, simulation_settings, plan, name=f"Machine{share}")

    ended, polls = Counter(ENDED_RUNS) - before, Counter(POLLS) - polls_before
    figure = f"{plan.examples} examples of up to {plan.rules} rules; runs that ended: {dict(ended)}; {dict(polls)}"
    record_property("figure", figure)
    assert {"CANCELLED", "SUCCEEDED"} <= set(ended), (
        "the simulation has to contain runs that succeed and runs that are cancelled"
    )
    kinds = {f"{act} {direction}" for act in ("kept", "polled") for direction in ("forward", "backward")}
    assert kinds <= set(polls), "the simulation has to contain steps and undos that wait"


def test_a_failing_example_prints_the_log_of_its_events(
    simulation_database: Database, simulation_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutants.no_reverse_order(monkeypatch)

    with pytest.raises(AssertionError, match=r"^V3: ") as failure:
        explore(
            simulation_database,
            simulation_settings,
            ExamplePlan(20, 6, 6),
            name="Broken",
            derandomize=True,
            phases=[Phase.generate],
        )

    log = failure.value.__notes__
    assert any(line.startswith("Olga Operator asks to create: shop is PROVISIONING") for line in log)
    assert any(line.startswith("worker 1 (forward validate_request): done") for line in log)


def explore(database: Database, settings: Settings, plan: ExamplePlan, *, name: str, **options: Any) -> None:
    """Run the examples of a plan. Reproducible examples depend on the name of the machine."""
    machine = type(
        name, (Machine,), {"database": database, "settings": settings, "undisturbed_moves": plan.undisturbed_moves}
    )
    # The short proof must not fail at random; the full proof tries new examples each time.
    chosen = {"derandomize": not FULL, "print_blob": FULL} | options
    run_state_machine_as_test(
        machine,
        settings=profile(
            max_examples=plan.examples,
            stateful_step_count=plan.rules,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            **chosen,
        ),
    )

"""Scenarios in which workers are killed, paused, or killed by their step, during a cancel."""

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial

from provisioning.saga import UNDO_ATTEMPTS
from tests.conformance.field.api_clients import Saga, codes
from tests.conformance.field.calls import CALLS, LAST_CALL, UNDONE_BY
from tests.conformance.field.failpoint_controller import Halt, let_time_pass, until
from tests.conformance.field.failpoints import Answers, Failpoint
from tests.conformance.field.saga_load import run_sagas
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options
from tests.tenant_states import PIVOT

AFTER_RECORD = "before deliver"
"""The move is recorded, but the wake-up for the next move is not sent."""

SECONDS_PER_DEATH = 10.0
"""Seconds from one death of a process to the next: the lease (2 s), a message that counts as lost (1 s), a sweep
(0.5 s) and the start of another process, which took 5 s at a load of 20 on two cores."""

ENDED_WITHIN = UNDO_ATTEMPTS * SECONDS_PER_DEATH
"""Seconds until a run that kills its workers has to be at its end: an undo is given up after eight attempts."""

MANY_THREADS = Options(forward_threads=18, compensation_threads=18)
"""Enough threads for every run to be halted at the same time."""


@scenario(without="no_lease_expiry", breaks="V8", options=MANY_THREADS)
def cancel_with_killed_worker(harness: ScenarioHarness) -> str:
    """Workers are killed before and after each call and after its record, forward and in the undo; then each second."""
    steps = ["allocate_storage", "deploy_workloads"] if harness.reduced else list(CALLS)
    halted = [(step, where, _halt(harness, where, step)[0]) for step, where in _places(steps)]
    early = [saga for _, where, saga in halted[::2] if where != AFTER_RECORD]
    for saga in early:
        assert harness.cancel(saga), "V5: the cancel of a halted run was refused"
    kill_all_workers(harness)
    undoing = [
        harness.testbed.controller.halt_at(_undone_at(where), step=step, run_id=saga.run_id, backward=True)
        for step, where, saga in halted
        if _undone_at(where)
    ]
    harness.testbed.replace_dead_workers()
    for saga in [saga for _, _, saga in halted if saga not in early]:  # the early ones may be undone by now
        assert harness.cancel(saga), "V5: the cancel of a run in progress was refused"
    for halt in undoing:
        halt.await_first(harness.within(60))
    kill_all_workers(harness)
    harness.testbed.replace_dead_workers()
    harness.await_all_runs(harness.within(60))
    figure = run_sagas(harness, harness.scaled(200), kill_one, min_faults=1)
    return f"{len(halted)} + {len(undoing)} exact places; {figure}"


@scenario(without="no_adapter_tombstones", breaks="V2")
def cancel_with_paused_worker_resumed_late(harness: ScenarioHarness) -> str:
    """A worker is paused between its last check and its call; it resumes after the undo, and the call is refused."""
    halted = {}
    for call in UNDONE_BY:
        saga, halt = _halt(harness, f"before {call}")
        halted[saga.run_id] = saga, halt
    paused = list(harness.testbed.workers)
    for worker in paused:
        harness.testbed.pause(worker)
    harness.testbed.start_workers()
    for saga, _ in halted.values():
        assert harness.cancel(saga), "V5: the cancel was refused, but the tenant is not ACTIVE"
    for saga, _ in halted.values():
        harness.checker.await_run(saga, "CANCELLED", within=60)
    harness.checker.check_all()

    returned: dict[str, str] = {}
    ways = {run: {f"after {call}", "before record_failure"} for run, call in zip(halted, UNDONE_BY, strict=True)}
    harness.testbed.controller.rule(partial(_note_return, returned, ways))
    for _, halt in halted.values():
        # A resumed worker may learn of the cancel before it continues; a call that is already on its way does not.
        halt.release(Answers.UNSTOPPABLE)
    for worker in paused:
        harness.testbed.resume(worker)
    until(lambda: returned.keys() == halted.keys(), "V8: not every late call returned")
    harness.checker.check_inventories()
    took_effect = [where for where in returned.values() if where.startswith("after")]
    assert not took_effect, f"V2: late calls took effect: {took_effect}"
    figure = run_sagas(harness, harness.scaled(200), pause_one, min_faults=2)
    return f"{len(returned)} late calls had no effect; {figure}"


@scenario(without="no_attempt_counted_before_start", breaks="V13", options=Options(workers=3, lease=2))
def cancel_with_poison_step(harness: ScenarioHarness) -> str:
    """Steps and undos that kill every worker: the run ends as FAILED, CANCELLED or STUCK, and other runs continue."""
    poison: dict[str, str] = {}
    deaths: Counter[str] = Counter()

    def rule(failpoint: Failpoint) -> str | None:
        if poison.get(failpoint.run_id) != failpoint.where:
            return None
        deaths[failpoint.run_id] += 1
        return Answers.DIE

    harness.testbed.controller.rule(rule)
    failing = _poisoned(harness, poison, "before deployer.deploy")
    cancelled = _poisoned(harness, poison, "before deployer.deploy")
    stuck = _poisoned(harness, poison, "before identity.destroy")
    _await(harness, lambda: bool(deaths[cancelled.run_id]), "V8: the step that kills its worker never starts")
    for saga in (cancelled, stuck):
        assert harness.cancel(saga), "V5: the cancel of a run in progress was refused"
    neighbours = [harness.create() for _ in range(harness.scaled(60, reduced=6))]
    for saga in neighbours[::2]:
        harness.cancel(saga)
    for saga in neighbours:
        _await_end(harness, saga, "CANCELLED", "SUCCEEDED")
    meanwhile = deaths.total()
    _await_end(harness, cancelled, "CANCELLED")
    _await_end(harness, failing, "FAILED")
    _await_end(harness, stuck, "STUCK")
    poison.clear()
    assert codes(harness.owner.retry_until_available("resumeCompensation", tenantId=stuck.id)) == [], (
        "V13: the resume was refused"
    )
    harness.testbed.replace_dead_workers()
    ends = harness.await_all_runs()
    assert ends["FAILED"] == 1, f"V1: another run failed: {ends}"
    poisoned_runs = f"FAILED after {deaths[failing.run_id]} deaths, STUCK after {deaths[stuck.run_id]}"
    return f"{poisoned_runs}; {len(neighbours)} other runs finished during {meanwhile} deaths"


def kill_one(harness: ScenarioHarness, rng: random.Random) -> None:
    """Send SIGKILL to one of the workers and start another."""
    harness.testbed.kill(rng.choice(harness.testbed.workers))
    harness.testbed.replace_dead_workers()


def kill_all_workers(harness: ScenarioHarness) -> None:
    """Send SIGKILL to every worker."""
    for worker in list(harness.testbed.workers):
        harness.testbed.kill(worker)


def pause_one(harness: ScenarioHarness, rng: random.Random) -> None:
    """Pause one worker (SIGSTOP) until every lease of it has expired, then resume it (SIGCONT)."""
    worker = rng.choice(harness.testbed.workers)
    harness.testbed.pause(worker)
    let_time_pass(harness.testbed.options.lease + 1)
    harness.testbed.resume(worker)


def _places(steps: list[str]) -> list[tuple[str, str]]:
    """Every place of each step.

    Places after the record come last: other workers continue those runs, as far as the last step.
    """
    around = [(step, f"{when} {CALLS[step]}") for step in steps for when in ("before", "after")]
    return around + [(step, AFTER_RECORD) for step in steps if CALLS[step] != LAST_CALL]


def _undone_at(where: str) -> str:
    """The same place in the undo; empty if the step has no external call to undo."""
    when, what = where.split(maxsplit=1)
    return where if where == AFTER_RECORD else f"{when} {UNDONE_BY[what]}" if what in UNDONE_BY else ""


def _halt(harness: ScenarioHarness, where: str, step: str = "") -> tuple[Saga, Halt]:
    """Create a run and halt its worker at this place."""
    gate = harness.testbed.controller.halt_at("before claim", times=1000)
    saga = harness.create()
    halt = harness.testbed.controller.halt_at(where, run_id=saga.run_id, step=step)
    # Another worker cannot continue the run past this point, so a cancel is never too late.
    if where.endswith(LAST_CALL):
        harness.testbed.controller.halt_at("before claim", step=PIVOT, run_id=saga.run_id, times=1000)
    else:
        harness.testbed.controller.halt_at(f"before {LAST_CALL}", run_id=saga.run_id, times=1000, stoppable=True)
    gate.release()
    halt.await_first()
    return saga, halt


def _note_return(returned: dict[str, str], ways: Mapping[str, Collection[str]], failpoint: Failpoint) -> None:
    """Record how a late call returned. Other messages of the run, and failpoints after its end, are no late calls."""
    if failpoint.where in ways.get(failpoint.run_id, ()) and not failpoint.backward and failpoint.step in CALLS:
        returned.setdefault(failpoint.run_id, failpoint.where)


def _poisoned(harness: ScenarioHarness, poison: dict[str, str], where: str) -> Saga:
    """Create a run that kills every worker at this place."""
    gate = harness.testbed.controller.halt_at("before claim", times=1000)
    saga = harness.create()
    poison[saga.run_id] = where
    # A place in the undo does not stop the run forward: it is halted before a cancel would be too late.
    harness.testbed.controller.halt_at(f"before {LAST_CALL}", run_id=saga.run_id, times=1000, stoppable=True)
    gate.release()
    return saga


def _await_end(harness: ScenarioHarness, saga: Saga, *statuses: str) -> None:
    _await(
        harness,
        lambda: harness.owner.read(saga)["run"]["status"] in statuses,
        f"V13: {saga.slug} does not become {' or '.join(statuses)}",
    )


def _await(harness: ScenarioHarness, condition: Callable[[], bool], failure: str) -> None:
    """Wait for a condition, and replace workers that die meanwhile."""

    def condition_holds() -> bool:
        harness.testbed.replace_dead_workers()
        return condition()

    until(condition_holds, failure, within=harness.within(ENDED_WITHIN, without_protection=20))

"""Every protection is needed: without it, an invariant breaks that holds otherwise."""

from collections.abc import Callable

import pytest

from models import RunStatus
from provisioning.moves import Backward, Forward
from runtime.database import Database
from runtime.settings import Settings
from tests.conformance import mutants
from tests.conformance.mutants import Mutant
from tests.conformance.simulation import Simulation
from tests.conformance.test_exhaustive import kill_every_attempt
from tests.conformance.virtual_worker import VirtualWorker

Disturbance = Callable[[Simulation], None]


def a_paused_worker_resumes_after_another_did_its_step(simulation: Simulation) -> None:
    paused = paused_worker(simulation, "allocate_identity", "before record")
    simulation.expire_leases()
    simulation.sweep()
    simulation.deliver(0)
    simulation.check()
    simulation.resume(paused)


def a_duplicate_message_arrives_while_a_worker_performs_the_step(simulation: Simulation) -> None:
    simulation.deliver_until(Forward("allocate_identity"))
    copy = simulation.messages[0]
    simulation.deliver(0, failpoints=2)
    simulation.messages.append(copy)
    simulation.deliver(0)


def a_message_from_before_a_cancel_arrives_after_it(simulation: Simulation) -> None:
    simulation.deliver_until(Forward("allocate_identity"))
    stale = simulation.messages.pop(0)
    cancel(simulation)
    simulation.messages[:] = [stale]
    simulation.deliver(0)


def a_forward_call_arrives_after_the_undo(simulation: Simulation) -> None:
    paused = paused_worker(simulation, "allocate_identity", "before identity.create")
    simulation.expire_leases()
    cancel(simulation)
    simulation.deliver_all()
    simulation.resume(paused)


def a_worker_is_killed_right_after_it_created_a_resource(simulation: Simulation) -> None:
    simulation.kill(paused_worker(simulation, "allocate_identity", "after identity.create"))


def the_broker_loses_every_message(simulation: Simulation) -> None:
    simulation.deliver_until(Forward("allocate_identity"))
    simulation.messages.clear()


def a_run_is_cancelled_midway(simulation: Simulation) -> None:
    simulation.deliver_until(Forward("apply_schema"))
    cancel(simulation)


def a_step_kills_every_worker(simulation: Simulation) -> None:
    simulation.deliver_until(Forward("deploy_workloads"))
    kill_every_attempt(simulation, Forward("deploy_workloads"))


def an_undo_kills_every_worker(simulation: Simulation) -> None:
    simulation.deliver_until(Forward("deploy_workloads"))
    cancel(simulation)
    simulation.deliver_until(Backward("allocate_traffic"))
    kill_every_attempt(simulation, Backward("allocate_traffic"))
    assert [run.status for run in simulation.live_runs()] == [RunStatus.STUCK]


def a_worker_keeps_a_wait_until_it_ends(simulation: Simulation) -> None:
    worker = keeping_worker(simulation)
    simulation.poll(worker)
    assert simulation.messages[-1].move == Forward("mark_active")


def a_wait_is_cancelled(simulation: Simulation) -> None:
    worker = keeping_worker(simulation)
    simulation.cancel(simulation.tenants[0], simulation.operators[0], notify=True)
    simulation.stop_waits(worker)
    assert worker.ended, "V13: a wait that is cancelled is polled at once"


def a_worker_polls_a_wait_that_another_has_taken(simulation: Simulation) -> None:
    worker = keeping_worker(simulation)
    simulation.expire_leases()
    simulation.sweep()
    simulation.deliver(0)
    simulation.resume(worker)


def a_worker_that_keeps_a_wait_is_killed(simulation: Simulation) -> None:
    simulation.kill(keeping_worker(simulation))


TABLE: list[tuple[Mutant, Disturbance, str]] = [
    (mutants.no_fencing_token_check, a_paused_worker_resumes_after_another_did_its_step, "V9"),
    (mutants.no_due_time_check_in_claim, a_duplicate_message_arrives_while_a_worker_performs_the_step, "V9"),
    (mutants.no_status_check_in_claim, a_message_from_before_a_cancel_arrives_after_it, "V6"),
    (mutants.no_tombstones, a_forward_call_arrives_after_the_undo, "V2"),
    (mutants.no_ledger_entry_before_call, a_worker_is_killed_right_after_it_created_a_resource, "V2"),
    (mutants.no_sweeper, the_broker_loses_every_message, "V8"),
    (mutants.no_reverse_order, a_run_is_cancelled_midway, "V3"),
    (mutants.no_attempt_counted_before_start, a_step_kills_every_worker, "V13"),
    (mutants.no_undo_attempt_counted_before_start, an_undo_kills_every_worker, "V13"),
    (mutants.no_kept_waits, a_worker_keeps_a_wait_until_it_ends, "V8"),
    (mutants.no_renewal_of_a_kept_lease, a_worker_keeps_a_wait_until_it_ends, "V8"),
    (mutants.no_end_of_the_renewal_of_a_kept_lease, a_worker_keeps_a_wait_until_it_ends, "V8"),
    (mutants.no_poll_at_once_of_a_wait_that_has_to_stop, a_wait_is_cancelled, "V13"),
    (mutants.no_poll_of_a_wait_that_has_to_stop, a_wait_is_cancelled, "V8"),
    (mutants.no_fencing_token_check, a_worker_polls_a_wait_that_another_has_taken, "V9"),
    (mutants.no_sweeper, a_worker_that_keeps_a_wait_is_killed, "V8"),
]


def _name(one: Callable[..., None] | str) -> str:
    return one if isinstance(one, str) else one.__name__


def run_disturbance(database: Database, settings: Settings, disturbance: Disturbance) -> None:
    """Run a simulation with this disturbance to its end. Raises AssertionError if an invariant breaks."""
    simulation = Simulation(database, settings)
    simulation.create("shop", start=True, by=simulation.operators[0])
    try:
        disturbance(simulation)
        simulation.check()
        simulation.finish()
    finally:
        simulation.close()


@pytest.mark.parametrize("disturbance", dict.fromkeys(disturbance for _, disturbance, _ in TABLE), ids=_name)
def test_every_invariant_holds_under_the_disturbance(
    simulation_database: Database, simulation_settings: Settings, disturbance: Disturbance
) -> None:
    run_disturbance(simulation_database, simulation_settings, disturbance)


@pytest.mark.parametrize(("mutant", "disturbance", "invariant"), TABLE, ids=_name)
def test_an_invariant_breaks_without_its_protection(
    simulation_database: Database,
    simulation_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    mutant: Mutant,
    disturbance: Disturbance,
    invariant: str,
) -> None:
    mutant(monkeypatch)

    with pytest.raises(AssertionError, match=rf"^{invariant}: "):
        run_disturbance(simulation_database, simulation_settings, disturbance)


def paused_worker(simulation: Simulation, step: str, where: str) -> VirtualWorker:
    """A worker that is halted at this failpoint of this step."""
    simulation.deliver_until(Forward(step))
    worker = simulation.deliver(0, failpoints=0)
    while worker.where != where:
        simulation.resume(worker, failpoints=0)
    return worker


def keeping_worker(simulation: Simulation) -> VirtualWorker:
    """A worker that keeps the wait for a workload that is not ready."""
    simulation.deliver_until(Forward("await_readiness"))
    worker = simulation.deliver(0)
    assert worker.waits, "V8: a step that waits has no owner"
    return worker


def cancel(simulation: Simulation) -> None:
    simulation.cancel(simulation.tenants[0], simulation.operators[0], notify=False)

"""Runs that become stuck because an undo failed or a step is unknown, and are resumed with or without it."""

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from models import Resource, ResourceStatus, RunStatus, RunStep, StepStatus, TenantState
from provisioning import cancellation, commands, due_runs, transitions
from provisioning.errors import Malformed, NotStuck
from provisioning.moves import Backward
from provisioning.ports import Refused
from provisioning.saga import UNDO_ATTEMPTS, Done
from tests.run_harness import RunHarness
from tests.tenant_states import ADAPTER_CALLS, PIVOT, UNDOABLE, UP_TO_THE_PIVOT, all_rows, compensated_steps


def make_run_stuck(harness: RunHarness, step: str = "allocate_identity") -> None:
    """Fail a run with a step that the adapter refuses to compensate."""
    harness.create()
    harness.make_moves(until=PIVOT)
    harness.faults.fail(ADAPTER_CALLS[step][1] or "", times=99, error=Refused("The vault is sealed."))
    harness.record_failure(harness.claim(), Refused("No."))
    harness.make_moves()
    assert harness.run().status is RunStatus.STUCK


@pytest.mark.parametrize("step", UNDOABLE)
def test_a_refused_compensation_makes_the_run_stuck_and_names_the_held_resources(
    harness: RunHarness, step: str
) -> None:
    make_run_stuck(harness, step)

    run = harness.run()
    assert harness.tenant().state is TenantState.PROVISIONING
    assert (run.due_at, run.lease_token, run.finished_at) == (None, None, None)
    assert (run.stuck_step, run.stuck_error) == (step, "The vault is sealed.")
    assert run.error == "No."
    assert harness.step(step).status is StepStatus.COMPENSATION_FAILED
    event = harness.events()[-1]
    assert event.type == "tenant.provisioning.stuck"
    assert event.data["step"] == step
    assert (
        [resource["name"] for resource in event.data["held"]]
        == harness.held_resources()
        == harness.existing_resources()
    )
    stuck = harness.transact(due_runs.stuck_runs)
    assert [one.id for one in stuck if one.tenant_id == harness.tenant_id] == [run.id]


def test_a_run_is_stuck_after_the_last_failed_attempt_of_a_compensation(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    harness.faults.fail("identity.destroy", times=99)
    harness.cancel()

    harness.make_moves()

    assert harness.run().status is RunStatus.STUCK
    failures = [event.data for event in harness.events() if event.type.endswith("compensation_failed")]
    assert [failure["attempt"] for failure in failures] == list(range(1, UNDO_ATTEMPTS + 1))
    assert [failure["will_retry"] for failure in failures] == [True] * (UNDO_ATTEMPTS - 1) + [False]


def test_a_run_is_stuck_after_a_compensation_lost_every_worker(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    harness.cancel()
    last = harness.claim(Backward("allocate_identity"))
    for lost in range(1, transitions.MAX_WORKERS_LOST_UNDOING):
        harness.expire_lease()
        if lost > 1:
            assert harness.try_claim() is None, "an attempt after two lost workers has no pause before it"
        last = harness.claim(Backward("allocate_identity"))
    harness.expire_lease()

    assert harness.try_claim() is None

    assert harness.run().status is RunStatus.STUCK
    before = all_rows(harness)
    harness.record(last, Done())
    assert all_rows(harness) == before, "the last worker is fenced, although no other took over"
    assert harness.run().due_at is None


def test_a_resumed_stuck_run_continues_with_the_failed_compensation(harness: RunHarness) -> None:
    make_run_stuck(harness)
    harness.faults.clear()

    harness.transact(
        cancellation.resume_compensation, harness.tenant_id, by=harness.operator, reason="The vault is open."
    )

    assert harness.run().status is RunStatus.COMPENSATING
    assert harness.wake_ups[-1].move == Backward("allocate_identity")
    harness.make_moves()
    assert harness.run().status is RunStatus.FAILED
    assert harness.held_resources() == harness.existing_resources() == []
    assert compensated_steps(harness) == UP_TO_THE_PIVOT[::-1]
    resumed = next(event for event in harness.events() if event.type.endswith("compensation_resumed"))
    assert resumed.data == {"skipped": [], "abandoned": [], "reason": "The vault is open."}
    assert resumed.actor_email == harness.operator.email


def test_a_resumed_compensation_has_all_its_attempts_again(harness: RunHarness) -> None:
    make_run_stuck(harness)

    harness.transact(cancellation.resume_compensation, harness.tenant_id, by=harness.operator)

    assert harness.claim().attempt == 1


def test_the_resources_of_a_skipped_step_are_abandoned_with_actor_and_reason(harness: RunHarness) -> None:
    make_run_stuck(harness)
    left = harness.existing_resources()

    harness.transact(
        cancellation.resume_compensation,
        harness.tenant_id,
        by=harness.operator,
        skip_steps=["allocate_identity"],
        reason="The vault burned down.",
    )
    harness.make_moves()

    assert harness.tenant().state is TenantState.FAILED
    assert harness.step("allocate_identity").status is StepStatus.ABANDONED
    assert harness.ledger(ResourceStatus.ABANDONED) == harness.existing_resources()
    assert set(harness.existing_resources()) < set(left)
    assert harness.held_resources() == []
    wanted = select(Resource).where(
        Resource.tenant_id == harness.tenant_id, Resource.status == ResourceStatus.ABANDONED
    )
    for row in harness.read(lambda session: session.exec(wanted).all()):
        assert (row.abandoned_by, row.abandoned_reason) == (harness.operator.email, "The vault burned down.")
    resumed = next(event for event in harness.events() if event.type.endswith("compensation_resumed"))
    abandoned = [resource["name"] for resource in resumed.data.pop("abandoned")]
    assert sorted(abandoned) == sorted(harness.existing_resources())
    assert resumed.data == {"skipped": ["allocate_identity"], "reason": "The vault burned down."}


@pytest.mark.parametrize(
    ("skip_steps", "reason", "field"),
    [
        (["allocate_identity"], None, "reason"),
        (["allocate_identity"], "  ", "reason"),
        (["boil_the_ocean"], "because", "skip_steps"),
        (["deploy_workloads"], "it is undone already", "skip_steps"),
        (["allocate_identity"], "x" * 501, "reason"),
    ],
)
def test_an_invalid_skip_is_refused_and_changes_nothing(
    harness: RunHarness, skip_steps: list[str], reason: str | None, field: str
) -> None:
    make_run_stuck(harness)
    before = all_rows(harness)

    with pytest.raises(Malformed) as refusal:
        harness.transact(
            cancellation.resume_compensation,
            harness.tenant_id,
            by=harness.operator,
            skip_steps=skip_steps,
            reason=reason,
        )

    assert refusal.value.field == field
    assert all_rows(harness) == before


def test_resuming_a_run_that_is_not_stuck_is_refused(harness: RunHarness) -> None:
    harness.create()
    before = all_rows(harness)

    with pytest.raises(NotStuck):
        harness.transact(cancellation.resume_compensation, harness.tenant_id, by=harness.operator)

    assert all_rows(harness) == before


def test_a_cancelled_stuck_run_ends_cancelled_after_it_is_resumed(harness: RunHarness) -> None:
    make_run_stuck(harness)

    change = harness.cancel(reason="no longer wanted")

    assert not change.already_requested
    assert harness.run().status is RunStatus.STUCK
    assert harness.event_lines()[-1] == "provisioning.cancel_requested"
    harness.faults.clear()
    harness.transact(cancellation.resume_compensation, harness.tenant_id, by=harness.operator)
    harness.make_moves()
    assert harness.run().status is RunStatus.CANCELLED
    assert harness.tenant().state is TenantState.PENDING
    assert harness.existing_resources() == []


def test_a_stuck_decommissioning_can_be_resumed(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves()
    harness.faults.fail("storage.destroy", error=Refused("A client is connected."))
    harness.transact(commands.decommission_tenant, harness.tenant_id, by=harness.operator, confirm_slug="shop")
    harness.make_moves()
    assert harness.run().status is RunStatus.STUCK

    harness.transact(cancellation.resume_compensation, harness.tenant_id, by=harness.operator)
    harness.make_moves()

    assert harness.tenant().state is TenantState.DECOMMISSIONED
    assert harness.existing_resources() == []


def test_a_step_unknown_to_this_release_makes_the_run_stuck_and_can_be_skipped(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    with harness.database.transaction() as session:
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == harness.run().id, col(RunStep.name) == "allocate_traffic")
            .values(name="boil_the_ocean")
        )

    harness.make_moves()

    assert harness.run().status is RunStatus.STUCK
    assert harness.run().error == "This release has no step 'boil_the_ocean': deploy a release that has it."
    skip = {"skip_steps": ["boil_the_ocean"], "reason": "It held nothing."}
    harness.transact(cancellation.resume_compensation, harness.tenant_id, by=harness.operator, **skip)
    harness.make_moves()
    assert harness.tenant().state is TenantState.FAILED
    assert harness.existing_resources() == []

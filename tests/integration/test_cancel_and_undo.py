"""A cancel stops the run, undoes it in reverse, and leaves the tenant PENDING with nothing held."""

import pytest
from sqlmodel import select

from models import FOLLOW_UPS, ResourceStatus, RunStatus, RunStep, StepRole, StepStatus, TenantState
from provisioning.moves import Backward, Forward
from provisioning.ports import Refused
from provisioning.saga import Done, NotYet
from provisioning.step_context import StepStopped, StopReason, StopSignal
from provisioning.steps import saga
from tests.run_harness import RunHarness

STEPS = [step.name for step in saga if step.role is StepRole.STEP]
UP_TO_THE_PIVOT = [step.name for step in saga if step.role not in FOLLOW_UPS]


def undone(harness: RunHarness) -> list[str]:
    return [line.split()[1] for line in harness.event_lines() if line.startswith("provisioning.step_compensated")]


def assert_clean_stop(harness: RunHarness) -> None:
    assert harness.run().status is RunStatus.CANCELLED
    assert harness.tenant().state is TenantState.PENDING
    assert harness.held_resources() == []
    assert harness.existing_resources() == []
    assert harness.event_lines().count("provisioning.cancelled") == 1
    assert harness.event_lines()[-1] == "provisioning.cancelled"


def test_a_run_without_cancel_or_failure_ends_active(harness: RunHarness) -> None:
    harness.create()

    harness.make_moves()

    assert harness.run().status is RunStatus.SUCCEEDED
    assert harness.tenant().state is TenantState.ACTIVE
    assert harness.ledger(ResourceStatus.HELD) == harness.existing_resources()
    assert len(harness.simulated.outbox.mails) == 3
    assert harness.run().due_at is None


@pytest.mark.parametrize("boundary", UP_TO_THE_PIVOT)
def test_a_cancel_before_a_step_undoes_the_earlier_steps_in_reverse(harness: RunHarness, boundary: str) -> None:
    harness.create()
    harness.make_moves(until=boundary)

    harness.cancel(reason="wrong slug")
    harness.make_moves()

    assert_clean_stop(harness)
    assert undone(harness) == UP_TO_THE_PIVOT[: UP_TO_THE_PIVOT.index(boundary)][::-1]
    assert harness.simulated.outbox.mails == []


@pytest.mark.parametrize("step", UP_TO_THE_PIVOT)
@pytest.mark.parametrize("position", ["before the call", "after the call"])
def test_a_cancel_inside_a_step_undoes_that_step_first(harness: RunHarness, step: str, position: str) -> None:
    harness.create()
    harness.make_moves(until=step)
    claim = harness.claim()
    if position == "after the call":
        harness.perform(claim)

    harness.cancel()
    harness.record_failure(claim, StepStopped(StopReason.CANCELLED))
    harness.make_moves()

    assert_clean_stop(harness)
    assert undone(harness) == UP_TO_THE_PIVOT[: UP_TO_THE_PIVOT.index(step) + 1][::-1]
    assert f"provisioning.step_interrupted {step}" in harness.event_lines()


@pytest.mark.parametrize("step", UP_TO_THE_PIVOT)
def test_a_cancel_before_a_step_is_recorded_undoes_that_step(harness: RunHarness, step: str) -> None:
    harness.create()
    harness.make_moves(until=step)
    claim = harness.claim()
    outcome = harness.perform(claim)

    harness.cancel()
    harness.record(claim, outcome)
    harness.make_moves()

    assert_clean_stop(harness)
    assert undone(harness)[0] == step


@pytest.mark.parametrize("step", UP_TO_THE_PIVOT)
def test_a_cancel_after_a_worker_was_lost_undoes_the_workers_step(harness: RunHarness, step: str) -> None:
    harness.create()
    harness.make_moves(until=step)
    harness.perform(harness.claim())

    harness.expire_lease()
    harness.cancel()
    harness.make_moves()

    assert_clean_stop(harness)
    assert undone(harness)[0] == step
    assert "Its worker was lost." in [event.data.get("error") for event in harness.events()]


@pytest.mark.parametrize("step", STEPS)
def test_a_cancel_during_a_compensation_changes_only_the_final_status(harness: RunHarness, step: str) -> None:
    harness.create()
    harness.make_moves(until="mark_active")
    harness.record_failure(harness.claim(), Refused("the pivot was refused"))
    harness.make_moves(until=step)
    claim = harness.claim(Backward(step))

    harness.cancel()
    harness.record(claim, harness.perform(claim))
    harness.make_moves()

    assert_clean_stop(harness)
    assert undone(harness) == UP_TO_THE_PIVOT[::-1]


def test_a_cancelled_queued_run_ends_in_the_same_transaction(harness: RunHarness) -> None:
    harness.create()

    change = harness.cancel(reason="customer changed their mind")

    assert change.run is not None
    assert change.run.status is RunStatus.CANCELLED
    assert_clean_stop(harness)
    data = harness.events()[-1].data
    assert data["reason"] == "customer changed their mind"
    assert data["cancelled_by"] == harness.operator.email
    assert data["released"] == []


def test_a_run_in_back_off_is_undone_at_once(harness: RunHarness) -> None:
    harness.create()
    harness.faults.fail("identity.create")
    harness.make_moves(until="allocate_identity")
    harness.step_runner.make_move(harness.run().id, Forward("allocate_identity"))
    assert harness.step("allocate_identity").next_attempt_at is not None

    harness.cancel()

    assert harness.run().due_at is not None
    harness.make_moves()
    assert_clean_stop(harness)


def test_a_run_that_waits_for_readiness_is_undone_at_once(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.record(harness.claim(), NotYet(after=harness.settings.lease))

    harness.cancel()
    harness.make_moves()

    assert_clean_stop(harness)
    assert undone(harness)[0] == "await_readiness"


def test_no_forward_step_is_claimed_after_the_cancel_committed(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")

    harness.cancel()

    assert harness.try_claim(Forward("allocate_traffic")) is None
    assert harness.try_claim(Forward("allocate_identity")) is None


def test_a_cancelled_run_can_be_retried_to_active(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.cancel()
    harness.make_moves()

    harness.retry()
    harness.make_moves()

    assert harness.run().number == 2
    assert harness.tenant().state is TenantState.ACTIVE
    assert harness.existing_resources() == harness.held_resources()


def test_the_feed_of_a_cancelled_run_has_each_event_once_and_in_order(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_identity")
    claim = harness.claim()
    harness.cancel()
    harness.record_failure(claim, StepStopped(StopReason.CANCELLED))
    harness.make_moves()

    assert harness.event_lines() == [
        "created",
        "provisioning.started",
        "provisioning.step_started validate_request",
        "provisioning.step_completed validate_request",
        "provisioning.step_started allocate_storage",
        "provisioning.step_completed allocate_storage",
        "provisioning.step_started allocate_identity",
        "provisioning.cancel_requested",
        "provisioning.step_interrupted allocate_identity",
        "provisioning.compensation_started allocate_identity",
        "provisioning.step_compensated allocate_identity",
        "provisioning.compensation_started allocate_storage",
        "provisioning.step_compensated allocate_storage",
        "provisioning.compensation_started validate_request",
        "provisioning.step_compensated validate_request",
        "provisioning.cancelled",
    ]
    assert [event.sequence for event in harness.events()] == list(range(1, 17))


def test_a_cancelled_step_stops_at_its_next_safe_point(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    claim = harness.claim()
    stop_signal = StopSignal()
    stop_signal.set(StopReason.CANCELLED)

    with pytest.raises(StepStopped, match="a cancel was requested"):
        harness.perform(claim, stop_signal)

    assert harness.existing_resources() == []


def test_a_worker_that_lost_its_lease_leaves_no_resources(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="deploy_workloads")
    paused = harness.claim()
    harness.expire_lease()
    harness.cancel()
    harness.make_moves()

    with pytest.raises(Refused, match="was destroyed earlier"):
        harness.perform(paused)
    harness.record(paused, Done())

    assert_clean_stop(harness)


@pytest.fixture(autouse=True)
def _a_cancelled_run_has_only_compensated_steps(harness: RunHarness) -> object:
    yield
    if harness.run().status is RunStatus.CANCELLED:
        started = [step for step in harness.steps() if step.role not in FOLLOW_UPS and step.started_at]
        assert {step.status for step in started} <= {StepStatus.COMPENSATED}
    return None


def test_the_steps_to_undo_are_the_same_in_python_and_in_sql(harness: RunHarness) -> None:
    harness.create()
    run_id = harness.run().id
    by_python, by_postgres = set(), set()

    for role in StepRole:
        for status in StepStatus:
            with harness.database.transaction() as session:
                step = session.exec(select(RunStep).where(RunStep.run_id == run_id, RunStep.position == 1)).one()
                step.role, step.status = role, status
                session.flush()
                found = session.exec(
                    select(RunStep).where(RunStep.run_id == step.run_id, RunStep.are_to_be_undone())
                ).all()
                by_python |= {(role, status)} if step.to_be_undone else set()
                by_postgres |= {(role, status)} if step in found else set()

    assert by_python == by_postgres
    assert 0 < len(by_python) < len(StepRole) * len(StepStatus)

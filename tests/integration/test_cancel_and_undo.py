"""A cancel stops the run, undoes it in reverse, and leaves the tenant PENDING with nothing held."""

import pytest

from models import FOLLOW_UPS, ResourceStatus, RunStatus, StepRole, StepStatus, TenantState
from provisioning.moves import Backward, Forward
from provisioning.ports import Refused
from provisioning.saga import Done, NotYet, StepStopped, StopReason, Trip
from provisioning.steps import saga
from tests.stage import Stage

STEPS = [step.name for step in saga if step.role is StepRole.STEP]
UP_TO_THE_PIVOT = [step.name for step in saga if step.role not in FOLLOW_UPS]


def undone(stage: Stage) -> list[str]:
    return [line.split()[1] for line in stage.story() if line.startswith("provisioning.step_compensated")]


def assert_clean_stop(stage: Stage) -> None:
    assert stage.run().status is RunStatus.CANCELLED
    assert stage.tenant().state is TenantState.PENDING
    assert stage.held() == []
    assert stage.outside() == []
    assert stage.story().count("provisioning.cancelled") == 1
    assert stage.story()[-1] == "provisioning.cancelled"


def test_an_undisturbed_run_ends_active(stage: Stage) -> None:
    stage.create()

    stage.play()

    assert stage.run().status is RunStatus.SUCCEEDED
    assert stage.tenant().state is TenantState.ACTIVE
    assert stage.ledger(ResourceStatus.HELD) == stage.outside()
    assert len(stage.genuine.outbox.mails) == 3
    assert stage.run().due_at is None


@pytest.mark.parametrize("boundary", UP_TO_THE_PIVOT)
def test_a_cancel_before_a_step_undoes_the_ones_before_it_in_reverse(stage: Stage, boundary: str) -> None:
    stage.create()
    stage.play(until=boundary)

    stage.cancel(reason="wrong slug")
    stage.play()

    assert_clean_stop(stage)
    assert undone(stage) == UP_TO_THE_PIVOT[: UP_TO_THE_PIVOT.index(boundary)][::-1]
    assert stage.genuine.outbox.mails == []


@pytest.mark.parametrize("step", UP_TO_THE_PIVOT)
@pytest.mark.parametrize("moment", ["before the call", "after the call"])
def test_a_cancel_inside_a_step_undoes_that_step_first(stage: Stage, step: str, moment: str) -> None:
    stage.create()
    stage.play(until=step)
    claim = stage.claim()
    if moment == "after the call":
        stage.perform(claim)

    stage.cancel()
    stage.fail(claim, StepStopped(StopReason.CANCELLED))
    stage.play()

    assert_clean_stop(stage)
    assert undone(stage) == UP_TO_THE_PIVOT[: UP_TO_THE_PIVOT.index(step) + 1][::-1]
    assert f"provisioning.step_interrupted {step}" in stage.story()


@pytest.mark.parametrize("step", UP_TO_THE_PIVOT)
def test_a_cancel_wins_over_a_step_that_only_has_to_be_recorded(stage: Stage, step: str) -> None:
    stage.create()
    stage.play(until=step)
    claim = stage.claim()
    outcome = stage.perform(claim)

    stage.cancel()
    stage.record(claim, outcome)
    stage.play()

    assert_clean_stop(stage)
    assert undone(stage)[0] == step


@pytest.mark.parametrize("step", UP_TO_THE_PIVOT)
def test_a_cancel_while_the_worker_is_dead_undoes_what_it_may_have_done(stage: Stage, step: str) -> None:
    stage.create()
    stage.play(until=step)
    stage.perform(stage.claim())

    stage.lapse()
    stage.cancel()
    stage.play()

    assert_clean_stop(stage)
    assert undone(stage)[0] == step
    assert "Its worker was lost." in [event.data.get("error") for event in stage.events()]


@pytest.mark.parametrize("step", STEPS)
def test_a_cancel_while_a_compensation_is_at_work_changes_the_end_and_no_effect(stage: Stage, step: str) -> None:
    stage.create()
    stage.play(until="mark_active")
    stage.fail(stage.claim(), Refused("the pivot was refused"))
    stage.play(until=step)
    claim = stage.claim(Backward(step))

    stage.cancel()
    stage.record(claim, stage.perform(claim))
    stage.play()

    assert_clean_stop(stage)
    assert undone(stage) == UP_TO_THE_PIVOT[::-1]


def test_a_queued_run_that_is_cancelled_ends_in_the_same_commit(stage: Stage) -> None:
    stage.create()

    change = stage.cancel(reason="customer changed their mind")

    assert change.run is not None
    assert change.run.status is RunStatus.CANCELLED
    assert_clean_stop(stage)
    told = stage.events()[-1].data
    assert told["reason"] == "customer changed their mind"
    assert told["cancelled_by"] == stage.operator.email
    assert told["released"] == []


def test_a_run_that_backs_off_is_undone_at_once(stage: Stage) -> None:
    stage.create()
    stage.faults.fail("identity.create")
    stage.play(until="allocate_identity")
    stage.mover.make_move(stage.run().id, Forward("allocate_identity"))
    assert stage.step("allocate_identity").next_attempt_at is not None

    stage.cancel()

    assert stage.run().due_at is not None
    stage.play()
    assert_clean_stop(stage)


def test_a_run_that_waits_for_readiness_is_undone_at_once(stage: Stage) -> None:
    stage.create()
    stage.play(until="await_readiness")
    stage.record(stage.claim(), NotYet(after=stage.settings.lease))

    stage.cancel()
    stage.play()

    assert_clean_stop(stage)
    assert undone(stage)[0] == "await_readiness"


def test_no_forward_step_is_claimed_once_the_cancel_committed(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_traffic")

    stage.cancel()

    assert stage.try_claim(Forward("allocate_traffic")) is None
    assert stage.try_claim(Forward("allocate_identity")) is None


def test_a_cancelled_run_can_be_retried_to_active(stage: Stage) -> None:
    stage.create()
    stage.play(until="await_readiness")
    stage.cancel()
    stage.play()

    stage.retry()
    stage.play()

    assert stage.run().number == 2
    assert stage.tenant().state is TenantState.ACTIVE
    assert stage.outside() == stage.held()


def test_the_feed_of_a_cancelled_run_tells_everything_once_and_in_order(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_identity")
    claim = stage.claim()
    stage.cancel()
    stage.fail(claim, StepStopped(StopReason.CANCELLED))
    stage.play()

    assert stage.story() == [
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
    assert [event.sequence for event in stage.events()] == list(range(1, 17))


def test_a_step_told_to_stop_stops_at_its_next_safe_point(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_storage")
    claim = stage.claim()
    trip = Trip()
    trip.pull(StopReason.CANCELLED)

    with pytest.raises(StepStopped, match="a cancel is on record"):
        stage.perform(claim, trip)

    assert stage.outside() == []


def test_a_late_owner_leaves_nothing_behind(stage: Stage) -> None:
    stage.create()
    stage.play(until="deploy_workloads")
    paused = stage.claim()
    stage.lapse()
    stage.cancel()
    stage.play()

    with pytest.raises(StepStopped, match="another worker"):
        stage.perform(paused)
    stage.record(paused, Done())

    assert_clean_stop(stage)


@pytest.fixture(autouse=True)
def _statuses_are_consistent(stage: Stage) -> object:
    yield
    if stage.run().status is RunStatus.CANCELLED:
        started = [step for step in stage.steps() if step.role not in FOLLOW_UPS and step.started_at]
        assert {step.status for step in started} <= {StepStatus.COMPENSATED}
    return None

"""Steps and compensations that poll: between two polls they hold no lease, and their attempt keeps its timeout."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col

from models import RunStep, StepStatus, TenantState
from provisioning.moves import Backward, Forward
from provisioning.saga import NotYet
from provisioning.step_context import StepStopped, StopReason
from tests.run_harness import RunHarness


def test_a_step_that_polls_holds_no_lease_between_its_polls(harness: RunHarness) -> None:
    harness.simulated.deployer._probes_until_ready = 3  # type: ignore[attr-defined]  # an attribute of the simulated deployer
    harness.create()
    harness.make_moves(until="await_readiness")

    harness.step_runner.make_move(harness.run().id, Forward("await_readiness"))

    step = harness.step("await_readiness")
    assert (step.status, step.attempts) == (StepStatus.RUNNING, 1)
    assert (step.percent, step.message) == (33, "The workload is starting.")
    assert step.next_attempt_at == harness.run().due_at
    assert harness.run().lease_until is None
    harness.make_moves()
    assert harness.step("await_readiness").attempts == 1
    assert harness.tenant().state is TenantState.ACTIVE


def exceed_timeout(harness: RunHarness, step: str) -> None:
    """Move the start of the current attempt back by the timeout of its step."""
    with harness.database.transaction() as session:
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == harness.run().id, col(RunStep.name) == step)
            .values(attempt_started_at=col(RunStep.attempt_started_at) - col(RunStep.timeout))
        )


def test_an_attempt_of_a_polling_step_fails_at_its_timeout(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.record(harness.claim(), NotYet(after=timedelta(seconds=2)))
    exceed_timeout(harness, "await_readiness")
    harness.end_waits()

    assert harness.try_claim() is None

    assert harness.step("await_readiness").error == "Wait until the workload is ready: not done after 600 s."
    assert harness.event_lines()[-1] == "provisioning.step_failed await_readiness"
    assert harness.claim().attempt == 2


def test_an_attempt_of_a_polling_compensation_fails_at_its_timeout_and_is_retried(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.cancel()
    harness.record(harness.claim(), NotYet(after=timedelta(seconds=1)))
    assert harness.claim().attempt == 1
    harness.expire_lease()
    harness.record(harness.claim(), NotYet(after=timedelta(seconds=1)))
    exceed_timeout(harness, "deploy_workloads")
    harness.end_waits()

    assert harness.try_claim() is None

    assert harness.step("deploy_workloads").compensation_error == "Deploy the workload: not undone after 600 s."
    assert harness.event_lines()[-1] == "provisioning.compensation_failed deploy_workloads"
    assert harness.claim().attempt == 3


def test_a_claim_has_the_time_left_of_its_attempt(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    first = harness.claim()
    harness.record(first, NotYet(after=timedelta(seconds=2)))

    second = harness.claim()

    assert first.time_left == timedelta(minutes=10)
    assert timedelta(minutes=9) < second.time_left < first.time_left
    assert second.attempt == first.attempt == 1


@pytest.mark.parametrize("reason", [StopReason.SHUTTING_DOWN, StopReason.DATABASE_UNAVAILABLE])
def test_a_poll_released_by_a_restart_does_not_extend_its_attempt(harness: RunHarness, reason: StopReason) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    first = harness.claim()
    harness.record(first, NotYet(timedelta(seconds=2)))
    started_at = harness.step("await_readiness").attempt_started_at

    harness.record_failure(harness.claim(), StepStopped(reason))
    third = harness.claim()

    assert harness.step("await_readiness").attempt_started_at == started_at
    assert (first.attempt, third.attempt, third.starts_attempt) == (1, 1, False)


def test_a_later_poll_of_a_compensation_released_by_a_shutdown_does_not_extend_its_attempt(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.cancel()
    harness.record(harness.claim(Backward("deploy_workloads")), NotYet(timedelta(seconds=1)))
    started_at = harness.step("deploy_workloads").attempt_started_at

    harness.record_failure(harness.claim(), StepStopped(StopReason.SHUTTING_DOWN))

    assert harness.claim().attempt == 1
    assert harness.step("deploy_workloads").attempt_started_at == started_at

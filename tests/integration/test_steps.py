"""Every step of the saga and its compensation: performed, repeated, failed and lost."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import Session, col

import adapters
from adapters.fault_injection import Fault
from models import ActorKind, Run, RunStatus, RunStep, StepStatus, TenantState
from provisioning import commands, due_runs, engine, step_endings, transitions
from provisioning.actors import PLATFORM
from provisioning.moves import Backward, Forward
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from provisioning.step_context import StepStopped, StopReason
from provisioning.steps import saga
from provisioning.wakeups import WakeUp
from provisioning.welcome_emails import resend_welcome_emails
from runtime.database import Statements, clock, outbox_of
from runtime.settings import settings
from tests.builders import stray_resource
from tests.run_harness import RunHarness, operator_of, run_harness_in
from tests.tenant_states import (
    ADAPTER_CALLS,
    MAIL,
    PIVOT,
    STEPS,
    UP_TO_THE_PIVOT,
    all_rows,
    compensated_steps,
)


@pytest.fixture(scope="module", params=["simulated", "real"])
def adapter_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def any_harness(adapter_kind: str, database_url: str) -> Iterator[RunHarness]:
    """A harness on the simulated adapters or on the real ones."""
    with run_harness_in(settings()) as harness:
        if adapter_kind == "real":
            harness.infrastructure = harness.faults.wrap(adapters.infrastructure(harness.settings, harness.database))
            harness.step_runner.infrastructure = harness.infrastructure
        yield harness


def present_resources(harness: RunHarness) -> list[str]:
    """The resources of the harness's run that the adapters find."""
    tenant = harness.tenant()
    return harness.infrastructure.present(ResourceNames(tenant.id, tenant.address, harness.run().number))


def test_the_table_of_calls_is_complete() -> None:
    assert ["validate_request", *ADAPTER_CALLS] == STEPS


def test_every_step_is_performed_and_undone_with_any_adapters(any_harness: RunHarness) -> None:
    any_harness.create()
    for step in STEPS:
        assert any_harness.next_move() == Forward(step)
        any_harness.step_runner.make_move(any_harness.run().id, Forward(step))
        assert any_harness.step(step).status is StepStatus.DONE
        assert present_resources(any_harness) == any_harness.held_resources()
    assert len(any_harness.held_resources()) == 6

    any_harness.cancel()
    any_harness.make_moves()

    assert compensated_steps(any_harness) == STEPS[::-1]
    assert present_resources(any_harness) == any_harness.held_resources() == []
    assert any_harness.tenant().state is TenantState.PENDING


def test_every_step_can_be_performed_twice_and_undone_twice_with_any_adapters(any_harness: RunHarness) -> None:
    any_harness.create()
    for step in STEPS:
        any_harness.perform(any_harness.claim())
        any_harness.expire_lease()
        any_harness.step_runner.make_move(any_harness.run().id, Forward(step))
        assert any_harness.step(step).attempts == 2
    once = any_harness.held_resources()
    assert sorted(present_resources(any_harness)) == sorted(once)

    any_harness.cancel()
    for step in STEPS[::-1]:
        any_harness.perform(any_harness.claim())
        any_harness.expire_lease()
        any_harness.step_runner.make_move(any_harness.run().id, Backward(step))
        assert any_harness.step(step).compensation_attempts == 2

    assert len(once) == 6
    assert present_resources(any_harness) == any_harness.held_resources() == []
    assert compensated_steps(any_harness) == STEPS[::-1]


def test_every_step_can_be_undone_without_having_run_with_any_adapters(any_harness: RunHarness) -> None:
    any_harness.create()
    with any_harness.database.transaction() as session:
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == any_harness.run().id, col(RunStep.name).in_(STEPS))
            .values(status=StepStatus.INTERRUPTED)
        )

    any_harness.cancel()
    any_harness.make_moves()

    assert compensated_steps(any_harness) == STEPS[::-1]
    assert present_resources(any_harness) == any_harness.ledger() == []
    assert any_harness.tenant().state is TenantState.PENDING


def test_a_creation_by_a_late_worker_is_refused_with_any_adapters(any_harness: RunHarness) -> None:
    any_harness.create()
    any_harness.make_moves(until="allocate_storage")
    late = any_harness.claim()
    any_harness.expire_lease()
    any_harness.cancel()
    any_harness.make_moves()

    with pytest.raises(Refused):
        any_harness.infrastructure.storage.create(late.names)

    assert present_resources(any_harness) == []


@pytest.mark.parametrize("step", ADAPTER_CALLS)
@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_step_that_fails_once_is_retried(harness: RunHarness, step: str, after: bool) -> None:  # noqa: FBT001  # a parameter of the test
    call, _ = ADAPTER_CALLS[step]
    harness.create()
    harness.faults.fail(call, after=after)

    harness.make_moves(until=UP_TO_THE_PIVOT[UP_TO_THE_PIVOT.index(step) + 1])

    assert harness.step(step).status is StepStatus.DONE
    assert harness.step(step).attempts == 2
    assert harness.step(step).error is None
    failure = next(event for event in harness.events() if event.type.endswith("step_failed"))
    error = f"Fault: {Fault(call, after=after)}"
    assert failure.data == {"step": step, "attempt": 1, "error": error, "will_retry": True}


@pytest.mark.parametrize("step", ADAPTER_CALLS)
def test_a_run_is_undone_after_the_last_attempt_of_a_step_failed(harness: RunHarness, step: str) -> None:
    call, _ = ADAPTER_CALLS[step]
    harness.create()
    harness.faults.fail(call, times=99, after=True)

    harness.make_moves()

    allowed = saga[step].attempts
    assert harness.faults.calls.count(call) == allowed
    assert harness.run().status is RunStatus.FAILED
    assert harness.run().failed_step == step
    assert harness.tenant().state is TenantState.FAILED
    assert compensated_steps(harness) == STEPS[: STEPS.index(step) + 1][::-1]
    assert harness.held_resources() == harness.existing_resources() == []
    failures = [event.data for event in harness.events() if event.type.endswith("step_failed")]
    assert [failure["attempt"] for failure in failures] == list(range(1, allowed + 1))
    assert [failure["will_retry"] for failure in failures] == [True] * (allowed - 1) + [False]
    assert harness.events()[-1].data["failed_step"] == step


def test_a_refused_step_is_not_retried(harness: RunHarness) -> None:
    harness.create()
    harness.faults.fail("traffic.reserve", error=Refused("The host name is held by another tenant."))

    harness.make_moves()

    assert harness.step("allocate_traffic").attempts == 1
    assert harness.run().error == "The host name is held by another tenant."
    assert harness.tenant().state is TenantState.FAILED


def test_a_request_that_is_no_longer_valid_fails_in_one_attempt(harness: RunHarness) -> None:
    harness.create()
    harness.step_runner.settings = harness.settings.model_copy(update={"regions": ("moon",)})

    harness.make_moves()

    assert harness.run().failed_step == "validate_request"
    assert harness.run().error == "There is no region 'eu-central': choose one of moon."


@pytest.mark.parametrize("attempt", [1, 2, 3, 4])
def test_the_back_off_doubles_until_the_last_attempt_and_is_stored(harness: RunHarness, attempt: int) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    harness.faults.fail("storage.create", times=9)

    for _ in range(attempt):
        harness.end_waits()
        harness.step_runner.make_move(harness.run().id, Forward("allocate_storage"))

    run, step = harness.run(), harness.step("allocate_storage")
    failed_at = harness.events()[-1].created_at
    assert step.next_attempt_at is not None
    wait = (step.next_attempt_at - failed_at).total_seconds()
    expected = step_endings.PAUSE_BEFORE_LAST_ATTEMPT.total_seconds() if attempt == 4 else 2 ** (attempt - 1)
    assert 0.8 * expected <= wait <= 1.2 * expected
    assert run.due_at == step.next_attempt_at
    assert run.lease_token is None
    assert harness.try_claim() is None, "the step cannot be claimed before its back-off has ended"


def test_a_step_stopped_by_its_timeout_is_retried(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")

    harness.record_failure(harness.claim(), StepStopped(StopReason.TIMED_OUT))

    assert harness.step("allocate_storage").error == "the attempt exceeded the timeout of the step"
    assert harness.claim().attempt == 2


def test_a_move_released_by_a_shutdown_counts_no_attempt(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")

    harness.record_failure(harness.claim(), StepStopped(StopReason.SHUTTING_DOWN))

    assert harness.run().lease_token is None
    assert harness.wake_ups[-1].move == Forward("allocate_storage")
    assert harness.claim().attempt == 1


def test_a_compensation_released_by_a_shutdown_counts_no_attempt(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_identity")
    harness.cancel()

    harness.record_failure(harness.claim(), StepStopped(StopReason.SHUTTING_DOWN))

    assert harness.claim().attempt == 1


def test_a_lost_lease_without_a_new_owner_is_not_a_failure_of_the_step(harness: RunHarness) -> None:
    harness.create()

    harness.record_failure(harness.claim(), StepStopped(StopReason.LEASE_LOST))

    assert harness.run().status is RunStatus.RUNNING
    assert harness.claim().attempt == 2
    assert not [line for line in harness.event_lines() if "failed" in line]


@pytest.mark.parametrize("step", ["validate_request", "deploy_workloads", PIVOT])
def test_a_step_that_loses_every_worker_fails_after_its_attempts_and_is_undone(harness: RunHarness, step: str) -> None:
    harness.create()
    harness.make_moves(until=step)
    allowed = max(saga[step].attempts, transitions.MAX_LOST_WORKERS)

    for attempt in range(1, allowed + 1):
        if attempt > 2:
            assert harness.try_claim() is None, "an attempt after two lost workers has no pause before it"
            harness.end_waits()
        claim = harness.claim()
        assert claim.attempt == attempt
        harness.perform(claim)
        harness.expire_lease()

    assert harness.try_claim() is None
    assert harness.step(step).error == f"{saga[step].title}: the worker was lost in each of {allowed} attempts."
    assert harness.wake_ups[-1].move == Backward(step)
    harness.make_moves()
    assert harness.tenant().state is TenantState.FAILED
    assert compensated_steps(harness)[0] == step
    assert harness.held_resources() == harness.existing_resources() == []


def test_a_wait_that_ends_three_workers_fails_its_attempt(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    kept = harness.apply(engine.waiting(harness.claim(), timedelta(seconds=1)))

    for lost in range(1, transitions.MAX_LOST_WORKERS):
        harness.expire_lease()
        if lost > 1:
            assert harness.try_claim() is None, "a poll after two lost workers has no pause before it"
        kept = harness.apply(engine.waiting(harness.claim(), timedelta(seconds=1)))
        assert kept is not None
        assert kept.attempt == 1
    harness.expire_lease()

    assert harness.try_claim() is None
    step = harness.step("await_readiness")
    assert (step.error, step.lost_workers) == (f"{step.title}: 3 workers were lost while it waited.", 0)
    assert harness.claim().attempt == 2


def set_deadline(session: Session, harness: RunHarness) -> None:
    session.execute(update(Run).where(col(Run.tenant_id) == harness.tenant_id).values(deadline_at=clock(session)))


def test_a_run_past_its_deadline_is_cancelled_by_the_platform(harness: RunHarness) -> None:
    harness.create(provisioning_deadline=timedelta(minutes=5))
    assert harness.run().deadline_at == harness.run().created_at + timedelta(minutes=5)
    harness.make_moves(until="allocate_identity")
    assert (harness.tenant_id, harness.run().id) not in harness.transact(due_runs.overdue_runs)
    harness.transact(set_deadline, harness)

    due = [one for one in harness.transact(due_runs.overdue_runs) if one[0] == harness.tenant_id]
    cancelled = [harness.transact(due_runs.cancel_overdue_run, *one) for one in due * 2]
    harness.make_moves()

    assert cancelled == [True, False]
    assert harness.tenant().state is TenantState.PENDING
    request = next(event for event in harness.events() if event.type.endswith("cancel_requested"))
    assert (request.actor_kind, request.actor_id, request.actor_name) == (ActorKind.SYSTEM, PLATFORM.id, "Tenantry")
    assert harness.events()[-1].data["cancelled_by"] == "Tenantry"
    assert harness.events()[-1].data["reason"] == "The run exceeded its provisioning deadline."


def test_a_failed_run_is_not_cancelled_at_its_deadline(harness: RunHarness) -> None:
    harness.create(provisioning_deadline=timedelta(minutes=5))
    harness.make_moves(until="allocate_identity")
    harness.record_failure(harness.claim(), Refused("The request was refused."))
    harness.transact(set_deadline, harness)

    assert harness.tenant_id not in [tenant_id for tenant_id, _ in harness.transact(due_runs.overdue_runs)]
    harness.make_moves()
    assert harness.tenant().state is TenantState.FAILED


def test_a_run_that_ended_before_its_deadline_is_not_cancelled(harness: RunHarness) -> None:
    harness.create(provisioning_deadline=timedelta(minutes=5))
    harness.make_moves()
    harness.transact(set_deadline, harness)

    assert harness.tenant_id not in [tenant_id for tenant_id, _ in harness.transact(due_runs.overdue_runs)]
    assert harness.transact(due_runs.cancel_overdue_run, harness.tenant_id, harness.run().id) is False


def test_a_run_does_not_end_while_its_ledger_holds_a_resource(harness: RunHarness) -> None:
    harness.create()
    hold_stray_resource(harness)

    harness.cancel()

    run = harness.run()
    assert (run.status, run.finished_at) == (RunStatus.CANCELLING, None)
    assert run.due_at is not None
    assert harness.tenant().state is TenantState.PROVISIONING
    assert "provisioning.cancelled" not in harness.event_lines()


def test_a_run_that_cannot_end_is_logged_and_does_not_block_other_due_runs(
    harness: RunHarness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.create()
    with run_harness_in(harness.settings) as other, harness.database.transaction() as session:
        other.create()
        run = session.get_one(Run, harness.run().id)
        session.add(stray_resource(run))
        run.cancel_requested_at = run.due_at = clock(session)
        run.status = RunStatus.CANCELLING
        run.cancel_actor_kind, run.cancel_actor_id, run.cancel_actor_name = ActorKind.USER, harness.operator.id, "x"
        session.flush()
        # The sweep takes the runs that have been due longest first: these two come before those of earlier tests.
        overdue = {"dispatched_at": None, "due_at": clock(session) - timedelta(days=1)}
        session.execute(update(Run).where(col(Run.id).in_([run.id, other.run().id])).values(overdue))

        due_runs.end_due_runs(Statements.of(session))
        due_runs.redispatch_due_runs(Statements.of(session))
        session.refresh(run)

        # Earlier tests may have left other runs that end, or can't end, in this sweep.
        logged = [record.getMessage() for record in caplog.records if getattr(record, "run", None) == run.id]
        assert logged == ["run cannot end, resources are still held"]
        assert run.due_at > clock(session)
        assert other.run().id in [wake_up.run_id for wake_up in outbox_of(session) if isinstance(wake_up, WakeUp)]
        session.rollback()


def test_a_running_step_stores_its_progress(harness: RunHarness) -> None:
    harness.simulated.deployer._probes_until_ready = 2  # type: ignore[attr-defined]  # an attribute of the simulated deployer
    harness.create()
    harness.make_moves(until="await_readiness")
    claim = harness.claim()

    harness.perform(claim)

    step = harness.step("await_readiness")
    assert (step.percent, step.message) == (50, "The workload is starting.")


def test_failing_welcome_emails_are_retried_and_do_not_fail_the_tenant(harness: RunHarness) -> None:
    harness.create()
    harness.faults.fail("mailer.send", times=99)

    harness.make_moves()

    assert harness.tenant().state is TenantState.ACTIVE
    assert harness.run().status is RunStatus.SUCCEEDED
    assert harness.step(MAIL).status is StepStatus.FAILED
    assert harness.event_lines().count("welcome_email_failed") == saga[MAIL].attempts
    assert harness.run().due_at is None


def test_a_suspended_tenant_gets_no_welcome_emails(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    harness.transact(commands.suspend_tenant, harness.tenant_id, by=harness.operator)

    harness.make_moves()

    assert harness.simulated.outbox.mails == []
    assert harness.run().due_at is None


def test_welcome_emails_can_be_sent_after_a_suspension(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    harness.transact(commands.suspend_tenant, harness.tenant_id, by=harness.operator)
    harness.make_moves()
    harness.transact(commands.resume_tenant, harness.tenant_id, by=harness.operator)

    harness.transact(resend_welcome_emails, harness.tenant_id, by=harness.operator)
    harness.make_moves()

    assert len(harness.simulated.outbox.mails) == 3
    assert harness.step(MAIL).status is StepStatus.DONE


def test_resending_pending_welcome_emails_changes_nothing(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    before = all_rows(harness)

    harness.transact(resend_welcome_emails, harness.tenant_id, by=harness.operator)

    assert all_rows(harness) == before


def test_a_cancelled_event_names_the_operator_by_email_address(harness: RunHarness) -> None:
    harness.create()

    harness.cancel(by=operator_of(harness.organisation, "Ada Admin"))

    assert harness.events()[-1].data["cancelled_by"] == f"ada@{harness.organisation.slug}.example"


def hold_stray_resource(harness: RunHarness) -> None:
    """Write a resource into the ledger that no step of the run releases."""
    with harness.database.transaction() as session:
        session.add(stray_resource(harness.run()))

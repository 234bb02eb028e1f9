"""Every step of the saga, forward and back, once and twice, failing and lost: in memory and for real."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import Session, col, select

import adapters
from adapters.faults import Fault
from models import ActorKind, Resource, ResourceStatus, Run, RunStatus, RunStep, StepStatus, TenantState
from provisioning import cancellation, commands, duty, engine, ledger
from provisioning.actors import PLATFORM
from provisioning.errors import LedgerNotEmpty, Malformed, NotStuck
from provisioning.footprint import Footprint
from provisioning.moves import Backward, Forward
from provisioning.ports import Refused
from provisioning.saga import Done, NotYet, StepStopped, StopReason
from provisioning.steps import saga
from provisioning.welcome import resend_welcome_emails
from runtime.database import clock, outbox_of
from runtime.settings import settings
from tests.scenes import MAIL, PIVOT, STEPS, UP_TO_THE_PIVOT, everything, undone
from tests.stage import Stage, operator_of, stage_in

OUTSIDE = {
    "allocate_storage": ("storage.create", "storage.destroy"),
    "allocate_identity": ("identity.create", "identity.destroy"),
    "allocate_traffic": ("traffic.reserve", "traffic.release"),
    "apply_schema": ("storage.migrate", None),
    "deploy_workloads": ("deployer.deploy", "deployer.tear_down"),
    "await_readiness": ("deployer.health", None),
}
"""The call that each step makes outside, and the one that undoes it."""

UNDOABLE = [step for step, (_, undo) in OUTSIDE.items() if undo]


@pytest.fixture(scope="module", params=["simulated", "real"])
def worlds(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def any_stage(worlds: str, database_url: str) -> Iterator[Stage]:
    """A stage whose outside is in memory, or the real one."""
    with stage_in(settings()) as stage:
        if worlds == "real":
            stage.world = stage.faults.wrap(adapters.world(stage.settings, stage.database))
            stage.mover.world = stage.world
        yield stage


def outside(stage: Stage) -> list[str]:
    """What the outside itself finds of the stage's run."""
    tenant = stage.tenant()
    return stage.world.present(Footprint(tenant.id, tenant.address, stage.run().number))


def test_the_table_of_calls_is_complete() -> None:
    assert ["validate_request", *OUTSIDE] == STEPS


def test_every_step_goes_forward_and_back_in_any_world(any_stage: Stage) -> None:
    any_stage.create()
    for step in STEPS:
        assert any_stage.next_move() == Forward(step)
        any_stage.mover.make_move(any_stage.run().id, Forward(step))
        assert any_stage.step(step).status is StepStatus.DONE
        assert outside(any_stage) == any_stage.held()
    assert len(any_stage.held()) == 6

    any_stage.cancel()
    any_stage.play()

    assert undone(any_stage) == STEPS[::-1]
    assert outside(any_stage) == any_stage.held() == []
    assert any_stage.tenant().state is TenantState.PENDING


def test_every_step_can_be_done_twice_and_undone_twice_in_any_world(any_stage: Stage) -> None:
    any_stage.create()
    for step in STEPS:
        any_stage.perform(any_stage.claim())
        any_stage.lapse()
        any_stage.mover.make_move(any_stage.run().id, Forward(step))
        assert any_stage.step(step).attempts == 2
    once = any_stage.held()
    assert sorted(outside(any_stage)) == sorted(once)

    any_stage.cancel()
    for step in STEPS[::-1]:
        any_stage.perform(any_stage.claim())
        any_stage.lapse()
        any_stage.mover.make_move(any_stage.run().id, Backward(step))
        assert any_stage.step(step).compensation_attempts == 2

    assert len(once) == 6
    assert outside(any_stage) == any_stage.held() == []
    assert undone(any_stage) == STEPS[::-1]


def test_every_step_can_be_undone_though_it_never_ran_in_any_world(any_stage: Stage) -> None:
    any_stage.create()
    with any_stage.database.transaction() as session:
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == any_stage.run().id, col(RunStep.name).in_(STEPS))
            .values(status=StepStatus.INTERRUPTED)
        )

    any_stage.cancel()
    any_stage.play()

    assert undone(any_stage) == STEPS[::-1]
    assert outside(any_stage) == any_stage.ledger() == []
    assert any_stage.tenant().state is TenantState.PENDING


def test_what_a_late_worker_creates_is_refused_in_any_world(any_stage: Stage) -> None:
    any_stage.create()
    any_stage.play(until="allocate_storage")
    late = any_stage.claim()
    any_stage.lapse()
    any_stage.cancel()
    any_stage.play()

    with pytest.raises(Refused):
        any_stage.world.storage.create(late.footprint)

    assert outside(any_stage) == []


@pytest.mark.parametrize("step", OUTSIDE)
@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_step_that_fails_once_is_tried_again(stage: Stage, step: str, after: bool) -> None:  # noqa: FBT001  # a case
    call, _ = OUTSIDE[step]
    stage.create()
    stage.faults.fail(call, after=after)

    stage.play(until=UP_TO_THE_PIVOT[UP_TO_THE_PIVOT.index(step) + 1])

    assert stage.step(step).status is StepStatus.DONE
    assert stage.step(step).attempts == 2
    assert stage.step(step).error is None
    failure = next(event for event in stage.events() if event.type.endswith("step_failed"))
    error = f"Fault: {Fault(call, after=after)}"
    assert failure.data == {"step": step, "attempt": 1, "error": error, "will_retry": True}


@pytest.mark.parametrize("step", OUTSIDE)
def test_a_step_that_fails_for_good_takes_the_run_back_to_nothing(stage: Stage, step: str) -> None:
    call, _ = OUTSIDE[step]
    stage.create()
    stage.faults.fail(call, times=99, after=True)

    stage.play()

    allowed = saga[step].attempts
    assert stage.faults.calls.count(call) == allowed
    assert stage.run().status is RunStatus.FAILED
    assert stage.run().failed_step == step
    assert stage.tenant().state is TenantState.FAILED
    assert undone(stage) == STEPS[: STEPS.index(step) + 1][::-1]
    assert stage.held() == stage.outside() == []
    failures = [event.data for event in stage.events() if event.type.endswith("step_failed")]
    assert [failure["attempt"] for failure in failures] == list(range(1, allowed + 1))
    assert [failure["will_retry"] for failure in failures] == [True] * (allowed - 1) + [False]
    assert stage.events()[-1].data["failed_step"] == step


def test_a_refusal_is_not_tried_again(stage: Stage) -> None:
    stage.create()
    stage.faults.fail("traffic.reserve", error=Refused("The host name is held by somebody else."))

    stage.play()

    assert stage.step("allocate_traffic").attempts == 1
    assert stage.run().error == "The host name is held by somebody else."
    assert stage.tenant().state is TenantState.FAILED


def test_a_request_that_cannot_be_fulfilled_any_more_fails_in_one_attempt(stage: Stage) -> None:
    stage.create()
    stage.mover.settings = stage.settings.model_copy(update={"regions": ("moon",)})

    stage.play()

    assert stage.run().failed_step == "validate_request"
    assert stage.run().error == "There is no region called 'eu-central'; there is moon."


@pytest.mark.parametrize("attempt", [1, 2, 3, 4])
def test_the_wait_before_the_next_attempt_doubles_and_is_in_the_row(stage: Stage, attempt: int) -> None:
    stage.create()
    stage.play(until="allocate_storage")
    stage.faults.fail("storage.create", times=9)

    for _ in range(attempt):
        stage.pass_time()
        stage.mover.make_move(stage.run().id, Forward("allocate_storage"))

    run, step = stage.run(), stage.step("allocate_storage")
    failed_at = stage.events()[-1].created_at
    assert step.next_attempt_at is not None
    wait = (step.next_attempt_at - failed_at).total_seconds()
    assert 0.8 * 2 ** (attempt - 1) <= wait <= 1.2 * 2 ** (attempt - 1)
    assert run.due_at == step.next_attempt_at
    assert run.lease_token is None
    assert stage.try_claim() is None, "nobody tries before the time has come"


def test_a_step_that_is_not_there_yet_holds_no_thread_and_no_lease(stage: Stage) -> None:
    stage.genuine.deployer._looks_until_ready = 3  # type: ignore[attr-defined]  # the simulated one has it
    stage.create()
    stage.play(until="await_readiness")

    stage.mover.make_move(stage.run().id, Forward("await_readiness"))

    step = stage.step("await_readiness")
    assert (step.status, step.attempts) == (StepStatus.RUNNING, 1)
    assert (step.percent, step.message) == (33, "It is starting.")
    assert step.next_attempt_at == stage.run().due_at
    assert stage.run().lease_until is None
    stage.play()
    assert stage.step("await_readiness").attempts == 1
    assert stage.tenant().state is TenantState.ACTIVE


def overdue(stage: Stage, step: str) -> None:
    """Let the attempt that is under way have begun longer ago than it may take."""
    with stage.database.transaction() as session:
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == stage.run().id, col(RunStep.name) == step)
            .values(attempt_started_at=col(RunStep.attempt_started_at) - col(RunStep.timeout))
        )


def test_a_step_that_is_never_there_fails_its_attempt_when_its_time_is_up(stage: Stage) -> None:
    stage.create()
    stage.play(until="await_readiness")
    stage.record(stage.claim(), NotYet(after=timedelta(seconds=2)))
    overdue(stage, "await_readiness")
    stage.pass_time()

    assert stage.try_claim() is None

    assert stage.step("await_readiness").error == "Wait until the workload is ready: not done after 600 s."
    assert stage.story()[-1] == "provisioning.step_failed await_readiness"
    assert stage.claim().attempt == 2


def test_a_compensation_that_is_never_there_runs_out_of_time_and_is_tried_again(stage: Stage) -> None:
    stage.create()
    stage.play(until="await_readiness")
    stage.cancel()
    stage.record(stage.claim(), NotYet(after=timedelta(seconds=1)))
    assert stage.claim().attempt == 1
    stage.lapse()
    stage.record(stage.claim(), NotYet(after=timedelta(seconds=1)))
    overdue(stage, "deploy_workloads")
    stage.pass_time()

    assert stage.try_claim() is None

    assert stage.step("deploy_workloads").error == "Deploy the workload: not undone after 600 s."
    assert stage.story()[-1] == "provisioning.compensation_failed deploy_workloads"
    assert stage.claim().attempt == 3


def test_what_is_left_of_an_attempt_goes_with_the_claim(stage: Stage) -> None:
    stage.create()
    stage.play(until="await_readiness")
    first = stage.claim()
    stage.record(first, NotYet(after=timedelta(seconds=2)))

    second = stage.claim()

    assert first.time_left == timedelta(minutes=10)
    assert timedelta(minutes=9) < second.time_left < first.time_left
    assert second.attempt == first.attempt == 1


def test_a_step_told_that_its_time_is_up_is_tried_again(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_storage")

    stage.fail(stage.claim(), StepStopped(StopReason.TIMED_OUT))

    assert stage.step("allocate_storage").error == "the attempt took longer than the step may"
    assert stage.claim().attempt == 2


def test_a_move_given_back_by_a_shutdown_was_no_attempt(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_storage")

    stage.fail(stage.claim(), StepStopped(StopReason.SHUTTING_DOWN))

    assert stage.run().lease_token is None
    assert stage.wake_ups[-1].move == Forward("allocate_storage")
    assert stage.claim().attempt == 1


@pytest.mark.parametrize("reason", [StopReason.SHUTTING_DOWN, StopReason.RECORDS_AWAY])
def test_a_look_given_back_by_a_restart_wins_the_attempt_no_time(stage: Stage, reason: StopReason) -> None:
    stage.create()
    stage.play(until="await_readiness")
    first = stage.claim()
    stage.record(first, NotYet(timedelta(seconds=2)))
    began = stage.step("await_readiness").attempt_started_at

    stage.fail(stage.claim(), StepStopped(reason))
    third = stage.claim()

    assert stage.step("await_readiness").attempt_started_at == began
    assert (first.attempt, third.attempt, third.first_look) == (1, 1, False)


def test_an_undo_given_back_at_a_later_look_wins_no_time(stage: Stage) -> None:
    stage.create()
    stage.play(until="await_readiness")
    stage.cancel()
    stage.record(stage.claim(Backward("deploy_workloads")), NotYet(timedelta(seconds=1)))
    began = stage.step("deploy_workloads").attempt_started_at

    stage.fail(stage.claim(), StepStopped(StopReason.SHUTTING_DOWN))

    assert stage.claim().attempt == 1
    assert stage.step("deploy_workloads").attempt_started_at == began


def test_a_compensation_given_back_by_a_shutdown_was_no_attempt(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_identity")
    stage.cancel()

    stage.fail(stage.claim(), StepStopped(StopReason.SHUTTING_DOWN))

    assert stage.claim().attempt == 1


def test_a_lease_that_was_lost_to_nobody_is_not_the_fault_of_the_step(stage: Stage) -> None:
    stage.create()

    stage.fail(stage.claim(), StepStopped(StopReason.LEASE_LOST))

    assert stage.run().status is RunStatus.RUNNING
    assert stage.claim().attempt == 2
    assert not [line for line in stage.story() if "failed" in line]


@pytest.mark.parametrize("step", ["validate_request", "deploy_workloads", PIVOT])
def test_a_step_that_kills_every_worker_runs_out_of_attempts_and_is_undone(stage: Stage, step: str) -> None:
    stage.create()
    stage.play(until=step)
    allowed = max(saga[step].attempts, engine.LOST_WORKERS)

    for attempt in range(1, allowed + 1):
        claim = stage.claim()
        assert claim.attempt == attempt
        stage.perform(claim)
        stage.lapse()

    assert stage.try_claim() is None
    assert stage.step(step).error == f"{saga[step].title}: the worker was lost in each of {allowed} attempts."
    assert stage.wake_ups[-1].move == Backward(step)
    stage.play()
    assert stage.tenant().state is TenantState.FAILED
    assert undone(stage)[0] == step
    assert stage.held() == stage.outside() == []


def stuck(stage: Stage, step: str = "allocate_identity") -> None:
    """Cancel a run whose compensation of this step is refused by the outside."""
    stage.create()
    stage.play(until=PIVOT)
    stage.faults.fail(OUTSIDE[step][1] or "", times=99, error=Refused("The vault is sealed."))
    stage.fail(stage.claim(), Refused("No."))
    stage.play()
    assert stage.run().status is RunStatus.STUCK


@pytest.mark.parametrize("step", UNDOABLE)
def test_a_compensation_that_fails_for_good_is_stuck_and_names_what_is_held(stage: Stage, step: str) -> None:
    stuck(stage, step)

    run = stage.run()
    assert stage.tenant().state is TenantState.PROVISIONING
    assert (run.due_at, run.lease_token, run.finished_at) == (None, None, None)
    assert run.error == "The vault is sealed."
    assert stage.step(step).status is StepStatus.COMPENSATION_FAILED
    told = stage.events()[-1]
    assert told.type == "tenant.provisioning.stuck"
    assert told.data["step"] == step
    assert [one["name"] for one in told.data["held"]] == stage.held() == stage.outside()
    assert [one.id for one in stage.do(duty.survey).stuck if one.tenant_id == stage.tenant_id] == [run.id]


def test_a_compensation_is_tried_eight_times_before_it_is_stuck(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_traffic")
    stage.faults.fail("identity.destroy", times=99)
    stage.cancel()

    stage.play()

    assert stage.run().status is RunStatus.STUCK
    failures = [event.data for event in stage.events() if event.type.endswith("compensation_failed")]
    assert [failure["attempt"] for failure in failures] == list(range(1, 9))
    assert [failure["will_retry"] for failure in failures] == [True] * 7 + [False]


def test_an_undo_that_kills_every_worker_is_stuck(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_traffic")
    stage.cancel()
    last = stage.claim(Backward("allocate_identity"))
    for _ in range(engine.COMPENSATION_ATTEMPTS - 1):
        stage.lapse()
        last = stage.claim(Backward("allocate_identity"))
    stage.lapse()

    assert stage.try_claim() is None

    assert stage.run().status is RunStatus.STUCK
    before = everything(stage)
    stage.record(last, Done())
    assert everything(stage) == before, "the last of them is fenced, though nobody took over"
    assert stage.run().due_at is None


def test_a_stuck_run_goes_on_where_it_was_once_told_to(stage: Stage) -> None:
    stuck(stage)
    stage.faults.heal()

    stage.do(cancellation.resume_compensation, stage.tenant_id, by=stage.operator, reason="The vault is open.")

    assert stage.run().status is RunStatus.COMPENSATING
    assert stage.wake_ups[-1].move == Backward("allocate_identity")
    stage.play()
    assert stage.run().status is RunStatus.FAILED
    assert stage.held() == stage.outside() == []
    assert undone(stage) == UP_TO_THE_PIVOT[::-1]
    resumed = next(event for event in stage.events() if event.type.endswith("compensation_resumed"))
    assert resumed.data == {"skipped": [], "reason": "The vault is open."}
    assert resumed.actor_email == stage.operator.email


def test_a_stuck_run_told_to_go_on_has_all_its_attempts_again(stage: Stage) -> None:
    stuck(stage)

    stage.do(cancellation.resume_compensation, stage.tenant_id, by=stage.operator)

    assert stage.claim().attempt == 1


def test_a_skipped_step_is_abandoned_and_says_by_whom_and_why(stage: Stage) -> None:
    stuck(stage)
    left = stage.outside()

    stage.do(
        cancellation.resume_compensation,
        stage.tenant_id,
        by=stage.operator,
        skip_steps=["allocate_identity"],
        reason="The vault burned down.",
    )
    stage.play()

    assert stage.tenant().state is TenantState.FAILED
    assert stage.step("allocate_identity").status is StepStatus.ABANDONED
    assert stage.ledger(ResourceStatus.ABANDONED) == stage.outside()
    assert set(stage.outside()) < set(left)
    assert stage.held() == []
    wanted = select(Resource).where(Resource.tenant_id == stage.tenant_id, Resource.status == ResourceStatus.ABANDONED)
    for row in stage.read(lambda session: session.exec(wanted).all()):
        assert (row.abandoned_by, row.abandoned_reason) == (stage.operator.email, "The vault burned down.")
    resumed = next(event for event in stage.events() if event.type.endswith("compensation_resumed"))
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
def test_a_skip_that_makes_no_sense_changes_nothing(
    stage: Stage, skip_steps: list[str], reason: str | None, field: str
) -> None:
    stuck(stage)
    before = everything(stage)

    with pytest.raises(Malformed) as refusal:
        stage.do(
            cancellation.resume_compensation,
            stage.tenant_id,
            by=stage.operator,
            skip_steps=skip_steps,
            reason=reason,
        )

    assert refusal.value.field == field
    assert everything(stage) == before


def test_what_is_not_stuck_is_not_resumed(stage: Stage) -> None:
    stage.create()
    before = everything(stage)

    with pytest.raises(NotStuck):
        stage.do(cancellation.resume_compensation, stage.tenant_id, by=stage.operator)

    assert everything(stage) == before


def test_cancelling_a_stuck_run_is_put_on_record_and_decides_its_end(stage: Stage) -> None:
    stuck(stage)

    change = stage.cancel(reason="no longer wanted")

    assert not change.already_requested
    assert stage.run().status is RunStatus.STUCK
    assert stage.story()[-1] == "provisioning.cancel_requested"
    stage.faults.heal()
    stage.do(cancellation.resume_compensation, stage.tenant_id, by=stage.operator)
    stage.play()
    assert stage.run().status is RunStatus.CANCELLED
    assert stage.tenant().state is TenantState.PENDING
    assert stage.outside() == []


def test_a_stuck_decommissioning_can_be_resumed(stage: Stage) -> None:
    stage.create()
    stage.play()
    stage.faults.fail("storage.destroy", error=Refused("Somebody is logged in."))
    stage.do(commands.decommission_tenant, stage.tenant_id, by=stage.operator, confirm_slug="shop")
    stage.play()
    assert stage.run().status is RunStatus.STUCK

    stage.do(cancellation.resume_compensation, stage.tenant_id, by=stage.operator)
    stage.play()

    assert stage.tenant().state is TenantState.DECOMMISSIONED
    assert stage.outside() == []


def set_deadline(session: Session, stage: Stage) -> None:
    session.execute(update(Run).where(col(Run.tenant_id) == stage.tenant_id).values(deadline_at=clock(session)))


def test_a_run_past_its_deadline_is_cancelled_by_the_platform(stage: Stage) -> None:
    stage.create(provisioning_deadline=timedelta(minutes=5))
    assert stage.run().deadline_at == stage.run().created_at + timedelta(minutes=5)
    stage.play(until="allocate_identity")
    assert (stage.tenant_id, stage.run().id) not in stage.do(duty.overdue_runs)
    stage.do(set_deadline, stage)

    due = [one for one in stage.do(duty.overdue_runs) if one[0] == stage.tenant_id]
    cancelled = [stage.do(duty.cancel_overdue_run, *one) for one in due * 2]
    stage.play()

    assert cancelled == [True, False]
    assert stage.tenant().state is TenantState.PENDING
    request = next(event for event in stage.events() if event.type.endswith("cancel_requested"))
    assert (request.actor_kind, request.actor_id, request.actor_name) == (ActorKind.SYSTEM, PLATFORM.id, "Tenantry")
    assert stage.events()[-1].data["cancelled_by"] == "Tenantry"
    assert stage.events()[-1].data["reason"] == "It took longer than its deadline."


def test_a_deadline_leaves_a_failure_a_failure(stage: Stage) -> None:
    stage.create(provisioning_deadline=timedelta(minutes=5))
    stage.play(until="allocate_identity")
    stage.fail(stage.claim(), Refused("no such luck"))
    stage.do(set_deadline, stage)

    assert stage.tenant_id not in [tenant_id for tenant_id, _ in stage.do(duty.overdue_runs)]
    stage.play()
    assert stage.tenant().state is TenantState.FAILED


def test_a_run_that_ended_before_its_deadline_is_left_alone(stage: Stage) -> None:
    stage.create(provisioning_deadline=timedelta(minutes=5))
    stage.play()
    stage.do(set_deadline, stage)

    assert stage.tenant_id not in [tenant_id for tenant_id, _ in stage.do(duty.overdue_runs)]
    assert stage.do(duty.cancel_overdue_run, stage.tenant_id, stage.run().id) is False


def test_a_run_does_not_settle_while_its_ledger_holds_something(stage: Stage) -> None:
    stage.create()
    with stage.database.transaction() as session:
        ledger.intend(session, stage.run(), "nobodys_step", "disk", "stray")
    before = everything(stage)

    with pytest.raises(LedgerNotEmpty, match="still holds"):
        stage.cancel()

    assert everything(stage) == before


def test_a_run_that_cannot_settle_is_reported_and_keeps_nobody_else_from_being_woken(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.create()
    with stage_in(stage.settings) as other, stage.database.transaction() as session:
        other.create()
        run = session.get_one(Run, stage.run().id)
        ledger.intend(session, run, "nobodys_step", "disk", "stray")
        run.cancel_requested_at = run.due_at = clock(session)
        run.status = RunStatus.CANCELLING
        run.cancel_actor_kind, run.cancel_actor_id, run.cancel_actor_name = ActorKind.USER, stage.operator.id, "x"
        session.flush()
        # Nobody has waited for longer, whatever other tests have left behind.
        overdue = {"nudged_at": None, "due_at": clock(session) - timedelta(days=1)}
        session.execute(update(Run).where(col(Run.id).in_([run.id, other.run().id])).values(overdue))

        duty.end_due_runs(session)
        duty.nudge_due_runs(session)

        assert caplog.messages == ["a run that is due cannot settle"]
        assert run.due_at > clock(session)
        assert other.run().id in [wake_up.run_id for wake_up in outbox_of(session)]
        session.rollback()


def test_progress_is_shown_while_the_step_is_at_it(stage: Stage) -> None:
    stage.create()
    stage.play(until="await_readiness")
    claim = stage.claim()

    stage.perform(claim)

    assert (stage.step("await_readiness").percent, stage.step("await_readiness").message) == (100, "It is ready.")


def test_the_welcome_mails_are_tried_again_and_never_fail_the_tenant(stage: Stage) -> None:
    stage.create()
    stage.faults.fail("mailer.send", times=99)

    stage.play()

    assert stage.tenant().state is TenantState.ACTIVE
    assert stage.run().status is RunStatus.SUCCEEDED
    assert stage.step(MAIL).status is StepStatus.FAILED
    assert stage.story().count("welcome_email_failed") == saga[MAIL].attempts
    assert stage.run().due_at is None


def test_no_welcome_mail_goes_to_a_tenant_that_was_suspended_first(stage: Stage) -> None:
    stage.create()
    stage.play(until=MAIL)
    stage.do(commands.suspend_tenant, stage.tenant_id, by=stage.operator)

    stage.play()

    assert stage.genuine.outbox.mails == []
    assert stage.run().due_at is None


def test_mails_that_a_suspension_held_back_can_be_sent_later(stage: Stage) -> None:
    stage.create()
    stage.play(until=MAIL)
    stage.do(commands.suspend_tenant, stage.tenant_id, by=stage.operator)
    stage.play()
    stage.do(commands.resume_tenant, stage.tenant_id, by=stage.operator)

    stage.do(resend_welcome_emails, stage.tenant_id, by=stage.operator)
    stage.play()

    assert len(stage.genuine.outbox.mails) == 3
    assert stage.step(MAIL).status is StepStatus.DONE


def test_mails_that_are_on_their_way_are_not_sent_twice(stage: Stage) -> None:
    stage.create()
    stage.play(until=MAIL)
    before = everything(stage)

    stage.do(resend_welcome_emails, stage.tenant_id, by=stage.operator)

    assert everything(stage) == before


def test_an_operator_who_cancels_is_named_by_mail_address(stage: Stage) -> None:
    stage.create()

    stage.cancel(by=operator_of(stage.organisation, "Ada Admin"))

    assert stage.events()[-1].data["cancelled_by"] == f"ada@{stage.organisation.slug}.example"


def test_a_step_that_this_release_does_not_have_is_named_and_can_be_skipped(stage: Stage) -> None:
    stage.create()
    stage.play(until="allocate_traffic")
    with stage.database.transaction() as session:
        session.execute(
            update(RunStep)
            .where(col(RunStep.run_id) == stage.run().id, col(RunStep.name) == "allocate_traffic")
            .values(name="boil_the_ocean")
        )

    stage.play()

    assert stage.run().status is RunStatus.STUCK
    assert stage.run().error == "This release has no step called 'boil_the_ocean': deploy one that has."
    skip = {"skip_steps": ["boil_the_ocean"], "reason": "It held nothing."}
    stage.do(cancellation.resume_compensation, stage.tenant_id, by=stage.operator, **skip)
    stage.play()
    assert stage.tenant().state is TenantState.FAILED
    assert stage.outside() == []

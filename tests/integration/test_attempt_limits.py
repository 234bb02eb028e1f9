"""Scarcity is waited for, what an external system asks for is kept, and an undo is more patient than a step."""

from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors
from sqlalchemy import update
from sqlmodel import col

from models import RunStatus, RunStep, StepStatus, TenantState
from provisioning.moves import Forward
from provisioning.ports import Mail, Refused, Scarce, TryAgain
from provisioning.saga import UNDO_ATTEMPTS, UNDO_TIME_LIMIT
from provisioning.step_endings import LONGEST_WAIT, MAIL_TIME_LIMIT, SCARCITY_TIME_LIMIT
from provisioning.steps import saga
from provisioning.welcome_emails import resend_welcome_emails
from runtime.settings import settings as product_settings
from tests.run_harness import RunHarness, run_harness_in
from tests.tenant_states import MAIL

FULL = psycopg.OperationalError("connection failed: FATAL:  zu viele Verbindungen für Rolle »tenants«")
SCARCE = [FULL, errors.TooManyConnections(), errors.LockNotAvailable(), Scarce("429"), OSError(24, "Too many files")]
CALLS = {"allocate_storage": "storage.create", "deploy_workloads": "deployer.deploy"}
MAILS = 3
"""Welcome mails of a tenant."""

UNDO_CALLS = {"allocate_storage": "storage.destroy", "deploy_workloads": "deployer.tear_down"}


def set_step(harness: RunHarness, step: str, **values: object) -> None:
    statement = update(RunStep).where(col(RunStep.run_id) == harness.run().id, col(RunStep.name) == step)
    harness.transact(lambda session: session.execute(statement.values(**values)))


def make_move(harness: RunHarness) -> None:
    harness.end_waits()
    move = harness.next_move()
    harness.step_runner.make_move(harness.run().id, move)  # type: ignore[arg-type]  # the run has a move


@pytest.mark.parametrize("step", list(CALLS))
@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(failures=st.permutations(SCARCE * 2))
def test_scarcity_counts_no_attempt_of_a_step(database_url: str, step: str, failures: list[Exception]) -> None:
    """Each example has every kind of scarcity, and more failures than the step has attempts."""
    with run_harness_in(product_settings()) as harness:
        harness.create()
        harness.make_moves(until=step)
        for error in failures:
            harness.faults.fail(CALLS[step], error=error)
            make_move(harness)
            waiting = harness.step(step)
            assert (waiting.status, waiting.attempts, waiting.error) == (StepStatus.RUNNING, 1, None)
            assert waiting.message
            assert waiting.next_attempt_at is not None
            assert waiting.next_attempt_at == harness.run().due_at

        harness.make_moves()

        assert len(failures) > saga[step].attempts
        assert harness.tenant().state is TenantState.ACTIVE
        assert (harness.step(step).attempts, harness.step(step).message) == (1, None)
        assert harness.event_lines().count(f"provisioning.step_started {step}") == 1
        assert "provisioning.step_failed" not in " ".join(harness.event_lines())


@pytest.mark.parametrize("step", list(UNDO_CALLS))
def test_scarcity_counts_no_attempt_of_an_undo(harness: RunHarness, step: str) -> None:
    harness.create()
    harness.make_moves(until="await_readiness")
    harness.faults.fail(UNDO_CALLS[step], times=UNDO_ATTEMPTS + 1, error=FULL)
    harness.cancel()

    harness.make_moves()

    assert harness.run().status is RunStatus.CANCELLED
    assert harness.step(step).compensation_attempts == 1
    assert "provisioning.compensation_failed" not in " ".join(harness.event_lines())


def test_a_cancel_ends_the_wait_for_capacity_at_once(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    harness.faults.fail("storage.create", times=99, error=Scarce("429", retry_after=timedelta(minutes=30)))
    make_move(harness)

    harness.cancel()

    assert harness.step("allocate_storage").status is StepStatus.INTERRUPTED
    assert harness.try_claim() is not None, "the undo is due now"


def test_scarcity_that_lasts_too_long_counts_as_a_failure(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    harness.faults.fail("storage.create", times=99, error=FULL)
    make_move(harness)
    began = harness.step("allocate_storage").started_at
    assert began is not None
    set_step(harness, "allocate_storage", started_at=began - SCARCITY_TIME_LIMIT)

    harness.make_moves()

    assert harness.tenant().state is TenantState.FAILED
    assert harness.run().error == "PostgreSQL error: zu viele Verbindungen für Rolle »tenants«"


@pytest.mark.parametrize("error", [TryAgain, Scarce])
@pytest.mark.parametrize("call", ["deployer.deploy", "deployer.tear_down"])
def test_a_step_or_an_undo_waits_as_long_as_the_external_system_asks(
    harness: RunHarness, call: str, error: type[TryAgain]
) -> None:
    harness.create()
    if call == "deployer.tear_down":
        harness.make_moves(until="await_readiness")
        harness.cancel()
    harness.make_moves(until="deploy_workloads")
    harness.faults.fail(call, error=error("Busy.", retry_after=timedelta(seconds=300)))
    before = harness.events()[-1].created_at

    make_move(harness)

    due = harness.run().due_at
    assert due is not None
    assert (due - before).total_seconds() >= 300


@pytest.mark.parametrize("step", [name.name for name in saga if name.role == "STEP" and name.attempts > 1])
def test_the_attempts_of_a_step_last_for_more_than_a_minute(harness: RunHarness, step: str) -> None:
    harness.create()
    harness.make_moves(until=step)
    waits = 0.0
    for _ in range(saga[step].attempts - 1):
        harness.record_failure(harness.claim(), TryAgain("502"))
        failed = harness.events()[-1].created_at
        due = harness.run().due_at
        assert due is not None
        waits += (due - failed).total_seconds()

    assert harness.run().status is RunStatus.RUNNING
    assert waits > 70
    harness.record_failure(harness.claim(), TryAgain("502"))
    assert harness.run().status is RunStatus.COMPENSATING


def test_the_attempts_of_an_undo_last_for_more_than_ten_minutes_and_end(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    harness.cancel()
    waits, attempts = 0.0, 0
    while harness.run().status is not RunStatus.STUCK:
        harness.record_failure(harness.claim(), TryAgain("502"))
        attempts += 1
        if due := harness.run().due_at:
            waits += (due - harness.events()[-1].created_at).total_seconds()

    assert attempts == UNDO_ATTEMPTS
    assert 600 < waits < 1200


def test_an_undo_that_fails_for_half_an_hour_is_stuck_before_its_attempts_are_used_up(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    harness.cancel()
    harness.record_failure(harness.claim(), TryAgain("502"))
    step = harness.next_move().step  # type: ignore[union-attr]  # the run has a move
    since = harness.step(step).failing_since
    assert since is not None
    set_step(harness, step, failing_since=since - UNDO_TIME_LIMIT)

    harness.record_failure(harness.claim(), TryAgain("502"))

    assert harness.run().status is RunStatus.STUCK
    assert harness.step(step).compensation_attempts == 2


def test_a_resumed_undo_has_its_whole_time_again(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    harness.cancel()
    harness.record_failure(harness.claim(), Refused("No."))
    assert harness.run().status is RunStatus.STUCK

    step = harness.run().stuck_step
    assert step is not None
    assert (harness.step(step).failing_since, harness.step(step).lost_workers) == (None, 0)


def test_a_mail_that_the_relay_refuses_temporarily_is_tried_for_a_day(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    refusals = saga[MAIL].attempts + 1
    later = Scarce("The mail relay refused the recipient (451): later.")
    harness.faults.fail("mailer.send", times=refusals, error=later)
    for _ in range(refusals):
        make_move(harness)
    step = harness.step(MAIL)
    assert (step.status, step.attempts) == (StepStatus.RUNNING, 1)
    assert step.started_at is not None
    set_step(harness, MAIL, started_at=step.started_at - MAIL_TIME_LIMIT / 2)

    harness.make_moves()

    assert harness.step(MAIL).status is StepStatus.DONE
    assert harness.event_lines().count("welcome_email_failed") == 0


def test_the_waits_for_a_relay_grow_to_half_an_hour(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    harness.faults.fail("mailer.send", times=9, error=Scarce("451"))
    make_move(harness)
    step = harness.step(MAIL)
    assert step.started_at is not None
    set_step(harness, MAIL, started_at=step.started_at - timedelta(hours=6))

    make_move(harness)

    step = harness.step(MAIL)
    assert step.next_attempt_at is not None
    assert step.heartbeat_at is not None
    assert LONGEST_WAIT < step.next_attempt_at - step.heartbeat_at <= timedelta(minutes=36)


def test_a_mail_that_was_accepted_is_not_sent_again_with_the_others(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    make_move(harness)
    assert (len(harness.simulated.outbox.mails), harness.step(MAIL).parts_done) == (1, 1)
    harness.record_failure(harness.claim(), Scarce("451"))

    harness.make_moves()

    sent = [mail.subject for mail in harness.simulated.outbox.mails]
    assert len(sent) == len(set(sent)) == MAILS


@pytest.mark.parametrize("shuts_down", [False, True])
def test_each_mail_is_on_record_before_the_next_is_sent(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch, *, shuts_down: bool
) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    harness.step_runner.keep_for = 60
    on_record: list[int] = []
    outbox = harness.simulated.outbox
    send = outbox.send

    def note_and_send(mail: Mail) -> None:
        on_record.append(harness.step(MAIL).parts_done)
        send(mail)
        if shuts_down and len(on_record) == 1:
            harness.running_steps.shut_down()

    monkeypatch.setattr(outbox, "send", note_and_send)
    harness.step_runner.make_move(harness.run().id, Forward(MAIL))

    assert on_record == ([0] if shuts_down else list(range(MAILS)))
    assert harness.step(MAIL).parts_done == len(on_record)
    assert harness.step(MAIL).attempts == 1


def test_a_worker_lost_after_the_last_mail_repeats_that_mail_only(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=MAIL)
    for _ in range(MAILS - 1):
        make_move(harness)
    harness.perform(harness.claim())
    sent = [mail.subject for mail in harness.simulated.outbox.mails]
    harness.simulated.outbox.mails.clear()
    harness.expire_lease()

    harness.make_moves()

    assert [mail.subject for mail in harness.simulated.outbox.mails] == sent[-1:]
    assert harness.step(MAIL).status is StepStatus.DONE


def test_resent_mails_are_all_sent_again(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves()
    assert harness.step(MAIL).parts_done == MAILS
    harness.simulated.outbox.mails.clear()

    harness.transact(resend_welcome_emails, harness.tenant_id, by=harness.operator)
    harness.make_moves()

    assert len(harness.simulated.outbox.mails) == MAILS

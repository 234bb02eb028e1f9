"""A cancel and an activation lock the same row: exactly one of them takes effect, the first to commit."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest
from sqlmodel import Session, col, select

from models import Run, RunStatus, TenantState
from provisioning import cancellation, commands, engine, run_reader
from provisioning.errors import NotProvisioning
from provisioning.locking import Change
from provisioning.moves import Backward
from provisioning.ports import Refused
from provisioning.saga import Done
from runtime.database import Statements
from tests.conformance import mutants
from tests.run_harness import RunHarness, operator_of
from tests.tenant_states import PIVOT, all_rows, claim_pivot
from tests.waiting import wait_until_blocked

RACES = 40


def assert_cancelled(harness: RunHarness) -> None:
    """An accepted cancel: the run never becomes ACTIVE, and the feed reports exactly one end."""
    assert harness.run().status is RunStatus.CANCELLED
    assert harness.tenant().state is TenantState.PENDING
    assert [line for line in harness.event_lines() if line in ENDS] == ["provisioning.cancelled"]
    assert harness.held_resources() == []


def assert_active(harness: RunHarness) -> None:
    """A cancel refused as too late: the tenant was ACTIVE when the refusal was made."""
    assert harness.run().status is RunStatus.SUCCEEDED
    assert not harness.run().cancel_requested
    assert harness.tenant().state is TenantState.ACTIVE
    assert [line for line in harness.event_lines() if line in ENDS] == ["provisioning.completed"]
    assert "provisioning.cancel_requested" not in harness.event_lines()


ENDS = ("provisioning.cancelled", "provisioning.completed", "provisioning.failed")


def race_with_the_cancel_first(harness: RunHarness, database_url: str) -> None:
    claim = claim_pivot(harness)

    with ThreadPoolExecutor() as pool:
        with harness.database.transaction() as session:
            cancellation.cancel_provisioning(session, harness.tenant_id, by=harness.operator)
            activation = pool.submit(harness.record, claim, Done())
            wait_until_blocked(activation, database_url)
        activation.result(10)

    harness.make_moves()
    assert_cancelled(harness)


def race_with_the_activation_first(harness: RunHarness, database_url: str) -> None:
    claim = claim_pivot(harness)

    with ThreadPoolExecutor() as pool:
        with harness.database.transaction() as session:
            engine.apply(Statements.of(session), engine.recording(claim, Done()))
            cancel = pool.submit(harness.cancel)
            wait_until_blocked(cancel, database_url)
        refusal = cancel.exception(10)

    assert isinstance(refusal, NotProvisioning)
    assert refusal.state is TenantState.ACTIVE
    assert_active(harness)


def test_a_cancel_that_commits_first_undoes_the_run(harness: RunHarness, database_url: str) -> None:
    race_with_the_cancel_first(harness, database_url)


def test_a_cancel_after_an_activation_committed_is_refused(harness: RunHarness, database_url: str) -> None:
    race_with_the_activation_first(harness, database_url)


def without_the_locked_run(patch: pytest.MonkeyPatch) -> None:
    """Let a cancel read the run without its lock."""

    def unlocked_live_run(session: Session, tenant_id: UUID) -> Run | None:
        return session.exec(
            select(Run)
            .where(Run.tenant_id == tenant_id, col(Run.finished_at).is_(None))
            .execution_options(populate_existing=True)
        ).one_or_none()

    patch.setattr(cancellation, "locked_live_run", unlocked_live_run)


@pytest.mark.parametrize(
    ("remove", "race"),
    [
        (mutants.no_fencing_token_check, race_with_the_cancel_first),
        (without_the_locked_run, race_with_the_activation_first),
    ],
    ids=["the guard of the record", "the lock of the cancel"],
)
def test_the_race_fails_without_its_protection(
    harness: RunHarness,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    remove: mutants.Mutant,
    race: Callable[[RunHarness, str], None],
) -> None:
    remove(monkeypatch)

    with pytest.raises(AssertionError):
        race(harness, database_url)


def test_an_unordered_race_ends_in_exactly_one_of_cancel_and_activation(harness: RunHarness) -> None:
    rng = random.Random(7)
    outcomes: Counter[str] = Counter()

    with ThreadPoolExecutor(2) as pool:
        for _ in range(RACES):
            claim = claim_pivot(harness)
            start = threading.Barrier(2)
            activation = pool.submit(after, start, rng.uniform(0, 0.006), partial(harness.record, claim, Done()))
            cancel = pool.submit(after, start, rng.uniform(0, 0.006), harness.cancel)
            activation.result(20)
            outcomes[outcome_of(harness, cancel.exception(20))] += 1

    assert set(outcomes) == {"accepted", "too late"}, "only one side ever won, so this proves nothing about races"


def after(start: threading.Barrier, seconds: float, act: Callable[[], object]) -> object:
    start.wait(10)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass  # spread the starts, so that either side may be first; a sleep is too coarse
    return act()


def outcome_of(harness: RunHarness, refusal: BaseException | None) -> str:
    if isinstance(refusal, NotProvisioning):
        assert refusal.state is TenantState.ACTIVE
        assert_active(harness)
        return "too late"
    assert refusal is None
    assert harness.run().status is RunStatus.CANCELLING
    assert harness.tenant().state is TenantState.PROVISIONING
    assert "provisioning.completed" not in harness.event_lines()
    assert harness.next_move() == Backward(PIVOT)
    return "accepted"


def test_twenty_simultaneous_cancels_are_one_cancel(harness: RunHarness) -> None:
    claim_pivot(harness)
    operators = [operator_of(harness.organisation, f"Person{number} P") for number in range(20)]
    start = threading.Barrier(20)

    def cancel(number: int) -> Change:
        start.wait(10)
        return harness.cancel(by=operators[number], reason=f"reason {number}")

    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(cancel, range(20)))

    first = [number for number, reply in enumerate(replies) if not reply.already_requested]
    assert len(first) == 1
    winner = operators[first[0]].email
    assert {reply.run.cancel_actor_name for reply in replies if reply.run} == {winner}
    assert {reply.run.cancel_reason for reply in replies if reply.run} == {f"reason {first[0]}"}
    assert len({reply.run.id for reply in replies if reply.run}) == 1
    requests = [event for event in harness.events() if event.type.endswith("cancel_requested")]
    assert [event.actor_email for event in requests] == [winner]


def test_two_simultaneous_retries_start_one_run(harness: RunHarness, database_url: str) -> None:
    harness.create(start=False)

    with ThreadPoolExecutor() as pool:
        with harness.database.transaction() as session:
            commands.retry_provisioning(session, harness.tenant_id, by=harness.operator)
            other = pool.submit(harness.retry)
            wait_until_blocked(other, database_url)
        refusal = other.exception(10)

    assert refusal is not None
    assert harness.run().number == 1
    assert harness.event_lines() == ["created", "provisioning.started"]


def test_a_cancel_that_waits_for_a_run_to_settle_is_refused(harness: RunHarness, database_url: str) -> None:
    harness.create()
    harness.record_failure(harness.claim(), Refused("No."))
    claim = harness.claim()

    with ThreadPoolExecutor() as pool:
        with harness.database.transaction() as session:
            engine.apply(Statements.of(session), engine.recording(claim, Done()))
            cancel = pool.submit(harness.cancel)
            wait_until_blocked(cancel, database_url)
        refusal = cancel.exception(10)

    assert isinstance(refusal, NotProvisioning)
    assert refusal.state is TenantState.FAILED


def test_a_cancel_that_commits_before_the_last_undo_leaves_the_tenant_pending(
    harness: RunHarness, database_url: str
) -> None:
    harness.create()
    harness.record_failure(harness.claim(), Refused("No."))
    claim = harness.claim()

    with ThreadPoolExecutor() as pool:
        with harness.database.transaction() as session:
            cancellation.cancel_provisioning(session, harness.tenant_id, by=harness.operator)
            settling = pool.submit(harness.record, claim, Done())
            wait_until_blocked(settling, database_url)
        settling.result(10)

    assert_cancelled(harness)


def test_decommissioning_does_not_wait_for_the_welcome_emails(harness: RunHarness) -> None:
    """Lock order: a decommission does not lock the run that it releases, so recording a step of that run cannot
    deadlock with it."""
    harness.create()
    harness.make_moves(until="send_welcome_emails")
    mails = harness.claim()

    with harness.database.transaction() as session:
        assert run_reader.read(Statements.of(session), mails.run_id, lock=True) is not None
        by = {"by": harness.operator, "confirm_slug": "shop"}
        harness.transact(commands.decommission_tenant, harness.tenant_id, **by)
    harness.record(mails, Done())
    harness.make_moves()

    assert harness.tenant().state is TenantState.DECOMMISSIONED


def test_a_simultaneous_rename_and_activation_both_increase_the_version(harness: RunHarness, database_url: str) -> None:
    claim = claim_pivot(harness)
    version = harness.tenant().version
    wanted = commands.Corrections(name="Renamed")

    with ThreadPoolExecutor() as pool:
        with harness.database.transaction() as session:
            commands.update_tenant(session, harness.tenant_id, wanted, by=harness.operator, regions=())
            activation = pool.submit(harness.record, claim, Done())
            wait_until_blocked(activation, database_url)
        activation.result(10)

    assert harness.tenant().name == "Renamed"
    assert harness.tenant().state is TenantState.ACTIVE
    assert harness.tenant().version == version + 2


def test_a_refused_cancel_changes_nothing(harness: RunHarness) -> None:
    claim = claim_pivot(harness)
    harness.record(claim, Done())
    before = all_rows(harness)

    with pytest.raises(NotProvisioning):
        harness.cancel()

    assert all_rows(harness) == before

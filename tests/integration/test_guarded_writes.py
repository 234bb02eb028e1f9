"""A worker that lost its claim writes nothing, and the database refuses an invalid state."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from models import StepStatus, TenantState
from models.columns import new_id
from provisioning import cancellation, engine, run_reader, run_store, transitions, validation
from provisioning.claims import Claim
from provisioning.errors import NotFound, NotProvisioning
from provisioning.locking import locked_live_run
from provisioning.moves import Backward, Forward
from provisioning.ports import Refused
from provisioning.saga import Done, NotYet, PartDone
from provisioning.step_context import StepStopped, StopReason, StopSignal
from provisioning.step_journal import DatabaseJournal
from provisioning.transitions import Lease
from runtime.database import Statements
from runtime.settings import settings
from tests.run_harness import RunHarness, new_lease, recorded_statements, run_harness_in
from tests.tenant_states import MAIL, PIVOT, STEPS, all_rows
from tests.waiting import wait_until_blocked

LEASE = timedelta(seconds=15)


def taken_over(harness: RunHarness) -> Claim:
    lost = lapsed(harness)
    harness.claim()
    return lost


def cancelled_after_it_lapsed(harness: RunHarness) -> Claim:
    lost = lapsed(harness)
    harness.cancel()
    return lost


def lapsed(harness: RunHarness) -> Claim:
    """A claim of a new tenant's run whose lease has ended."""
    harness.create()
    harness.make_moves(until="allocate_storage")
    lost = harness.claim()
    harness.expire_lease()
    return lost


def out_of_attempts(harness: RunHarness) -> Claim:
    harness.create()
    lost = harness.claim()
    for _ in range(transitions.MAX_LOST_WORKERS - 1):
        harness.expire_lease()
        lost = harness.claim()
    harness.expire_lease()
    assert harness.try_claim() is None
    return lost


def recorded_before(harness: RunHarness) -> Claim:
    harness.create()
    claim = harness.claim()
    harness.record(claim, Done())
    return claim


def undo_taken_over(harness: RunHarness) -> Claim:
    harness.create()
    harness.make_moves(until="allocate_identity")
    harness.cancel()
    lost = harness.claim()
    harness.expire_lease()
    harness.claim()
    return lost


WAYS_TO_LOSE_A_CLAIM = [taken_over, cancelled_after_it_lapsed, out_of_attempts, recorded_before, undo_taken_over]


WRITES: dict[str, Callable[[RunHarness, Claim], object]] = {
    "done": lambda harness, lost: harness.record(lost, Done()),
    "not yet": lambda harness, lost: harness.record(lost, NotYet(after=timedelta(seconds=1))),
    "failed": lambda harness, lost: harness.record_failure(lost, RuntimeError("late")),
    "refused": lambda harness, lost: harness.record_failure(lost, Refused("late")),
    "stopped": lambda harness, lost: harness.record_failure(lost, StepStopped(StopReason.SHUTTING_DOWN)),
    "part done": lambda harness, lost: harness.record(lost, PartDone(1)),
    "progress": lambda harness, lost: DatabaseJournal(harness.database, harness.settings, lost).progress(99, "late"),
    "renewed": lambda harness, lost: harness.execute(run_store.renew, {lost.run_id: lost.token}, LEASE),
}


@pytest.mark.parametrize("lose_claim", WAYS_TO_LOSE_A_CLAIM)
@pytest.mark.parametrize("write", WRITES)
def test_a_worker_that_lost_its_claim_writes_nothing(
    harness: RunHarness, write: str, lose_claim: Callable[[RunHarness], Claim]
) -> None:
    lost = lose_claim(harness)
    before = all_rows(harness)
    harness.wake_ups.clear()

    WRITES[write](harness, lost)

    assert all_rows(harness) == before
    assert harness.wake_ups == []


def test_a_renewal_extends_only_the_leases_that_are_still_owned(harness: RunHarness) -> None:
    lost = taken_over(harness)
    with run_harness_in(harness.settings) as other:
        other.create()
        owned = other.claim()

        renewals = harness.execute(
            run_store.renew, {lost.run_id: lost.token, owned.run_id: owned.token}, timedelta(minutes=5)
        )

        assert renewals == [run_store.Renewal(owned.run_id, cancelled=False, extended=True)]
        assert other.run().lease_until == other.run().due_at
        assert other.run().due_at is not None
        assert harness.run().lease_until != other.run().lease_until


def test_a_renewal_skips_a_locked_run_and_extends_the_others(harness: RunHarness) -> None:
    harness.create()
    locked = harness.claim()
    with run_harness_in(harness.settings) as other:
        other.create()
        owned = other.claim()
        tokens = {locked.run_id: locked.token, owned.run_id: owned.token}

        with harness.database.transaction() as session:
            locked_live_run(session, harness.tenant_id)
            renewals = other.execute(run_store.renew, tokens, timedelta(minutes=5))

        assert {renewal.run_id: renewal.extended for renewal in renewals} == {locked.run_id: False, owned.run_id: True}


def test_a_renewal_reports_a_requested_cancel(harness: RunHarness) -> None:
    harness.create()
    claim = harness.claim()
    harness.cancel()

    renewals = harness.execute(run_store.renew, {claim.run_id: claim.token}, LEASE)

    assert renewals == [run_store.Renewal(claim.run_id, cancelled=True, extended=True)]


def test_no_resource_is_created_after_a_worker_was_told_of_a_cancel(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    claim, stop_signal = harness.claim(), StopSignal()
    harness.cancel()
    stop_signal.set(StopReason.CANCELLED)

    with pytest.raises(StepStopped, match="a cancel was requested"):
        harness.perform(claim, stop_signal)

    assert harness.existing_resources() == []


def test_a_claim_whose_reply_was_lost_is_repeatable_with_its_own_token_only(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    move, own, another = Forward("allocate_storage"), new_lease(LEASE), new_lease(LEASE)

    def claimed_with(lease: Lease) -> Claim | None:
        return harness.apply(engine.claiming(harness.run().id, move, harness.settings, lease))

    first, other, again = claimed_with(own), claimed_with(another), claimed_with(own)

    assert first is not None
    assert other is None
    assert again is not None
    assert (again.token, again.attempt) == (own.token, 1)
    harness.record(again, harness.perform(again))
    assert harness.step("allocate_storage").status is StepStatus.DONE


def test_a_claim_repeated_after_a_cancel_releases_the_run_at_once(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    move, lease = Forward("allocate_storage"), new_lease(LEASE)

    def claim() -> Claim | None:
        return harness.apply(engine.claiming(harness.run().id, move, harness.settings, lease))

    first = claim()
    harness.cancel()
    again = claim()

    assert first is not None
    assert again is None
    assert harness.run().lease_token is None
    assert harness.wake_ups[-1].move == Backward("allocate_storage")


def test_the_end_of_a_run_that_is_kept_for_its_mails_is_repeatable_when_its_reply_was_lost(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until=PIVOT)
    pivot, keep = harness.claim(), new_lease(LEASE)

    first = harness.apply(engine.recording(pivot, Done(), keep))
    again = harness.apply(engine.recording(pivot, Done(), keep))

    assert first is not None
    assert again is not None
    assert (again.token, again.move, again.attempt) == (keep.token, Forward(MAIL), 1)
    assert (first.token, first.move, first.attempt) == (keep.token, Forward(MAIL), 1)
    assert harness.tenant().state is TenantState.ACTIVE
    harness.record(again, harness.perform(again))
    harness.make_moves()
    assert harness.step(MAIL).status is StepStatus.DONE
    assert harness.event_lines().count("provisioning.completed") == 1
    assert len(harness.simulated.outbox.mails) == 3


def test_progress_that_waits_for_a_take_over_is_not_written(harness: RunHarness, database_url: str) -> None:
    harness.create()
    harness.make_moves(until="allocate_storage")
    late = harness.claim()
    harness.expire_lease()

    with ThreadPoolExecutor() as pool:
        with harness.database.transaction() as session:
            move, lease = Forward("allocate_storage"), new_lease(LEASE)
            claiming = engine.claiming(late.run_id, move, harness.settings, lease)
            assert engine.claim_of(engine.apply(Statements.of(session), claiming), harness.settings)
            progress = pool.submit(DatabaseJournal(harness.database, harness.settings, late).progress, 99, "late")
            wait_until_blocked(progress, database_url)
        progress.result(10)

    assert harness.step("allocate_storage").message is None


def test_one_of_twenty_workers_that_claim_a_move_gets_it(harness: RunHarness) -> None:
    harness.create()
    start = threading.Barrier(20)

    def claim(_: int) -> Claim | None:
        start.wait(10)
        return harness.try_claim(Forward("validate_request"))

    with ThreadPoolExecutor(20) as pool:
        claims = [won for won in pool.map(claim, range(20)) if won]

    assert len(claims) == 1
    assert harness.run().lease_token == claims[0].token
    assert harness.event_lines() == ["created", "provisioning.started", "provisioning.step_started validate_request"]


def test_an_owned_move_cannot_be_claimed_before_its_lease_expires(harness: RunHarness) -> None:
    harness.create()
    harness.claim()

    assert harness.try_claim() is None

    harness.expire_lease()
    assert harness.try_claim() is not None


def test_stale_duplicate_and_unknown_messages_are_dropped(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    before = all_rows(harness)

    for step in [*STEPS, PIVOT, "boil_the_ocean"]:
        harness.step_runner.make_move(harness.run().id, Backward(step))
        if step != "allocate_traffic":
            harness.step_runner.make_move(harness.run().id, Forward(step))
    harness.step_runner.make_move(new_id(), Forward("allocate_traffic"))

    assert all_rows(harness) == before


def test_messages_for_a_run_that_is_over_are_dropped(harness: RunHarness) -> None:
    harness.create()
    harness.cancel()
    before = all_rows(harness)

    for step in [*STEPS, PIVOT]:
        harness.step_runner.make_move(harness.run().id, Forward(step))
        harness.step_runner.make_move(harness.run().id, Backward(step))

    assert all_rows(harness) == before


@pytest.mark.parametrize("seed", range(3))
def test_duplicate_messages_in_any_order_to_several_workers_have_one_effect(harness: RunHarness, seed: int) -> None:
    rng = random.Random(seed)
    harness.create()
    with ThreadPoolExecutor(4) as pool:
        while harness.run().due_at is not None:
            harness.end_waits()
            messages = harness.wake_ups[-3:] * rng.randint(1, 3)
            rng.shuffle(messages)
            list(pool.map(lambda it: harness.step_runner.make_move(it.run_id, it.move), messages))

    assert harness.tenant().state is TenantState.ACTIVE
    creations = Counter(call for call in harness.faults.calls if not call.endswith(("present", "health", "send")))
    assert set(creations.values()) == {1}
    assert harness.event_lines().count("provisioning.completed") == 1


def test_a_claim_takes_two_statements_and_a_record_one(harness: RunHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    harness.create()
    harness.make_moves(until="allocate_identity")
    harness.end_waits()
    move = Forward("allocate_identity")
    run_id = harness.run().id

    with recorded_statements(harness, monkeypatch) as claiming:
        claim = harness.apply(engine.claiming(run_id, move, harness.settings, new_lease(LEASE)))
    assert claim is not None
    outcome = harness.perform(claim)
    with recorded_statements(harness, monkeypatch) as recording:
        harness.record(claim, outcome)

    assert len(claiming) == 2, claiming
    assert len(recording) == 1, recording


def test_a_saga_of_one_message_has_one_write_for_each_step(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.create()
    run_id, harness.step_runner.keep_for = harness.run().id, 60

    with recorded_statements(harness, monkeypatch) as statements:
        harness.step_runner.make_move(run_id, Forward("validate_request"))

    assert [KINDS.get(statement, statement.split(maxsplit=2)[1]) for statement in statements] == [
        *("read", "written"),  # the claim of the first step
        *("validate", "written"),
        *["written"] * (len(STEPS) - 1),
        *("read", "written"),  # the end of the run says what is held, and claims the welcome mails
        *["written"] * 3,  # after each mail, and the last together with the end of its step
    ]


def test_a_change_is_decided_when_it_is_applied_and_not_when_it_was_made(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker applies it again while Postgres is unavailable: a lease from the first try may have ended."""
    harness.create()
    first = harness.claim()
    recording = engine.recording(first, Done(), new_lease(LEASE))
    clock = time.monotonic
    monkeypatch.setattr("provisioning.engine.time.monotonic", lambda: clock() + 2)

    second = harness.apply(recording)

    assert second is not None
    assert second.position.now - first.position.now >= timedelta(seconds=2)


def test_a_step_that_a_cancel_has_stopped_is_recorded_without_a_try_that_fails(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.create()
    harness.make_moves(until="deploy_workloads")
    claim = harness.claim()
    harness.cancel()

    with recorded_statements(harness, monkeypatch) as statements:
        harness.record_failure(claim, StepStopped(StopReason.CANCELLED))

    assert [KINDS.get(statement, statement.split(maxsplit=2)[1]) for statement in statements] == ["read", "written"]
    assert harness.step("deploy_workloads").status is StepStatus.INTERRUPTED


KINDS = {
    run_reader.READ: "read",
    run_store.PUBLISH_PROGRESS: "progress",
    validation.READ_REQUEST: "validate",
}


@pytest.mark.parametrize("count", [1, 30])
def test_a_bulk_cancel_refuses_any_number_of_tenants_in_the_same_statements(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    idle = [harness.create(f"idle-{number}", start=False).tenant.id for number in range(count)]
    harness.create("shop")
    missing = new_id()

    with recorded_statements(harness, monkeypatch) as statements:
        results = harness.transact(
            cancellation.cancel_provisionings, [*idle, harness.tenant_id, missing], by=harness.operator
        )

    assert [type(one.refusal) for one in results] == [*[NotProvisioning] * count, type(None), NotFound]
    assert len(statements) == 5


REFUSED_STATEMENTS = {
    "one_live_run_per_tenant": """
        INSERT INTO runs (id, organisation_id, tenant_id, address, number, kind, status, started_by_kind, started_by_id,
                          started_by_name, due_at, created_at)
        SELECT gen_random_uuid(), organisation_id, tenant_id, address, number + 1, kind, 'QUEUED', started_by_kind,
               started_by_id, started_by_name, now(), now() FROM runs WHERE id = %(run)s
    """,
    "runs_are_numbered_per_tenant": """
        INSERT INTO runs (id, organisation_id, tenant_id, address, number, kind, status, started_by_kind, started_by_id,
                          started_by_name, finished_at, created_at)
        SELECT gen_random_uuid(), organisation_id, tenant_id, address, number, kind, 'FAILED', started_by_kind,
               started_by_id, started_by_name, now(), now() FROM runs WHERE id = %(run)s
    """,
    "run_number_is_positive": "UPDATE runs SET number = 0 WHERE id = %(run)s",
    "run_status_is_known": "UPDATE runs SET status = 'PAUSED' WHERE id = %(run)s",
    "run_kind_is_known": "UPDATE runs SET kind = 'REPAIR' WHERE id = %(run)s",
    "run_starter_kind_is_known": "UPDATE runs SET started_by_kind = 'ROBOT' WHERE id = %(run)s",
    "run_error_code_is_known": "UPDATE runs SET error_code = 'UNLUCKY' WHERE id = %(run)s",
    "cancel_actor_kind_is_known": "UPDATE runs SET cancel_actor_kind = 'ROBOT' WHERE id = %(run)s",
    "a_run_is_finished_exactly_when_its_status_says_so": "UPDATE runs SET status = 'FAILED' WHERE id = %(run)s",
    "a_run_that_has_not_settled_has_a_next_wake": "UPDATE runs SET due_at = NULL WHERE id = %(run)s",
    "a_lease_has_a_token_and_an_end": "UPDATE runs SET lease_until = now() WHERE id = %(run)s",
    "a_cancel_request_names_who_asked": "UPDATE runs SET cancel_requested_at = now() WHERE id = %(run)s",
    "nothing_is_cancelled_unasked": "UPDATE runs SET status = 'CANCELLING' WHERE id = %(run)s",
    "a_decommission_names_the_run_it_releases": "UPDATE runs SET kind = 'DECOMMISSION' WHERE id = %(run)s",
    "a_step_is_in_a_run_once": "UPDATE run_steps SET name = 'same' WHERE run_id = %(run)s",
    "step_status_is_known": "UPDATE run_steps SET status = 'PAUSED' WHERE run_id = %(run)s",
    "step_role_is_known": "UPDATE run_steps SET role = 'GUEST' WHERE run_id = %(run)s",
    "percent_is_a_percentage": "UPDATE run_steps SET percent = 101 WHERE run_id = %(run)s",
    "attempts_are_counted_up": "UPDATE run_steps SET attempts = -1 WHERE run_id = %(run)s",
    "one_holder_per_slug": """
        INSERT INTO tenants (id, organisation_id, slug, name, region, plan_code, first_admin_email, address, state,
                             version, last_sequence, created_at, updated_at)
        SELECT gen_random_uuid(), organisation_id, slug, name, region, plan_code, first_admin_email, 'elsewhere',
               'PENDING', 1, 0, now(), now() FROM tenants WHERE id = %(tenant)s
    """,
    "one_holder_per_address": """
        INSERT INTO tenants (id, organisation_id, slug, name, region, plan_code, first_admin_email, address, state,
                             version, last_sequence, created_at, updated_at)
        SELECT gen_random_uuid(), organisation_id, 'another', name, region, plan_code, first_admin_email, address,
               'PENDING', 1, 0, now(), now() FROM tenants WHERE id = %(tenant)s
    """,
    "tenant_state_is_known": "UPDATE tenants SET state = 'ASLEEP' WHERE id = %(tenant)s",
    "tenant_slug_is_well_formed": "UPDATE tenants SET slug = 'Shop' WHERE id = %(tenant)s",
    "tenant_name_is_well_formed": "UPDATE tenants SET name = '' WHERE id = %(tenant)s",
    "tenant_counters_are_positive": "UPDATE tenants SET version = 0 WHERE id = %(tenant)s",
    "events_are_numbered_per_tenant": """
        INSERT INTO events (id, organisation_id, tenant_id, sequence, type, actor_kind, actor_id, actor_name, data,
                            created_at)
        SELECT gen_random_uuid(), organisation_id, tenant_id, sequence, type, actor_kind, actor_id, actor_name, data,
               now() FROM events WHERE tenant_id = %(tenant)s LIMIT 1
    """,
    "events_of_a_tenant_are_numbered": """
        INSERT INTO events (id, organisation_id, tenant_id, type, actor_kind, actor_id, actor_name, data, created_at)
        SELECT gen_random_uuid(), organisation_id, tenant_id, type, actor_kind, actor_id, actor_name, data, now()
        FROM events WHERE tenant_id = %(tenant)s LIMIT 1
    """,
    "event_actor_kind_is_known": """
        INSERT INTO events (id, organisation_id, type, actor_kind, actor_id, actor_name, data, created_at)
        SELECT gen_random_uuid(), organisation_id, type, 'ROBOT', actor_id, actor_name, data, now()
        FROM events WHERE tenant_id = %(tenant)s LIMIT 1
    """,
    "a_run_takes_a_resource_once": """
        INSERT INTO resources (id, run_id, tenant_id, step, kind, name, status, intended_at)
        SELECT gen_random_uuid(), run_id, tenant_id, step, kind, name, 'INTENDED', now()
        FROM resources WHERE run_id = %(run)s LIMIT 1
    """,
    "resource_status_is_known": "UPDATE resources SET status = 'LOST' WHERE run_id = %(run)s",
    "released_says_when": "UPDATE resources SET status = 'RELEASED' WHERE run_id = %(run)s",
    "held_says_since_when": "UPDATE resources SET held_at = NULL WHERE run_id = %(run)s",
    "abandoner_kind_is_known": "UPDATE resources SET abandoned_by_kind = 'ROBOT' WHERE run_id = %(run)s",
    "abandoned_says_why": "UPDATE resources SET status = 'ABANDONED' WHERE run_id = %(run)s",
}
"""Statements that the database refuses, by the constraint that refuses them."""


@pytest.fixture(scope="module")
def started(database_url: str) -> Iterator[RunHarness]:
    with run_harness_in(settings()) as harness:
        harness.create()
        harness.make_moves(until="allocate_identity")
        yield harness


@pytest.mark.parametrize("constraint", REFUSED_STATEMENTS)
def test_a_constraint_refuses_an_invalid_state(started: RunHarness, database_url: str, constraint: str) -> None:
    before = all_rows(started)
    ids = {"run": started.run().id, "tenant": started.tenant_id}

    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.IntegrityError) as refusal:
        connection.execute(REFUSED_STATEMENTS[constraint].encode(), ids)

    assert refusal.value.diag.constraint_name == constraint
    assert all_rows(started) == before


CHANGES_OF_THE_FEED = [
    "UPDATE events SET data = '{}' WHERE tenant_id = %(tenant)s",
    "UPDATE events SET created_at = now() WHERE tenant_id = %(tenant)s",
    "DELETE FROM events WHERE tenant_id = %(tenant)s",
    "TRUNCATE events",
    "TRUNCATE events CASCADE",
]


@pytest.mark.parametrize("statement", CHANGES_OF_THE_FEED)
def test_the_audit_feed_cannot_be_changed(started: RunHarness, database_url: str, statement: str) -> None:
    before = all_rows(started)

    with psycopg.connect(database_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege) as refusal:
        connection.execute(statement.encode(), {"tenant": started.tenant_id} if "%" in statement else None)

    assert refusal.value.diag.message_primary == "the audit feed is append-only"
    assert all_rows(started) == before


@pytest.mark.parametrize("statement", [change for change in CHANGES_OF_THE_FEED if not change.startswith("DELETE")])
def test_retention_may_only_delete_from_the_audit_feed(started: RunHarness, database_url: str, statement: str) -> None:
    values = {"tenant": started.tenant_id} if "%" in statement else None

    with psycopg.connect(database_url) as connection:
        connection.execute("SET LOCAL tenantry.retention = 'on'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode(), values)


def test_retention_is_permitted_for_one_transaction_only(harness: RunHarness, database_url: str) -> None:
    harness.create(start=False)
    old = {"tenant": harness.tenant_id}

    with psycopg.connect(database_url) as connection:
        with connection.transaction():
            connection.execute("SET LOCAL tenantry.retention = 'on'")
            deleted = connection.execute("DELETE FROM events WHERE tenant_id = %(tenant)s", old).rowcount
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("DELETE FROM events")

    assert deleted == 1


def test_a_process_that_shuts_down_claims_no_move(harness: RunHarness) -> None:
    harness.create()
    before = harness.run()

    harness.running_steps.shut_down()
    harness.step_runner.make_move(before.id, Forward("validate_request"))

    assert harness.run() == before
    assert harness.step("validate_request").attempts == 0

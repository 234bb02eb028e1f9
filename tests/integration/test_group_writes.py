"""Transitions that are written in one statement have the effect of each one alone, and a lost claim writes nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session, col, select

from models import StepStatus, Tenant
from provisioning import engine, run_reader, run_store, transitions
from provisioning.engine import Change, Decided
from provisioning.locking import locked_live_run
from provisioning.moves import Forward
from provisioning.position import Position
from provisioning.saga import Done, NotYet
from provisioning.transition import Transition
from tests.run_harness import RunHarness, new_lease, new_run_harness, recorded_statements
from tests.tenant_states import all_rows

LEASE = timedelta(seconds=15)


def locked_tenant_row(session: Session, tenant_id: UUID) -> None:
    session.exec(select(Tenant.id).where(col(Tenant.id) == tenant_id).with_for_update()).one()


@pytest.fixture
def other(database_url: str, harness: RunHarness) -> Iterator[RunHarness]:
    built = new_run_harness(harness.settings)
    yield built
    built.faults.release_all()


def waiting(harness: RunHarness) -> Transition:
    """A transition of a run that waits for its first step."""
    harness.create()
    claim = harness.claim()
    return transitions.step_waits(claim.position, claim.move, timedelta(seconds=5))


def waits(harness: RunHarness) -> Change:
    """The same, as the change that its worker wants."""
    harness.create()
    return engine.recording(harness.claim(), NotYet(timedelta(seconds=5))).decided_now()


def facts_of(harness: RunHarness) -> dict[str, Any]:
    """What the two ways of writing must have in common: all but ids, names and times."""
    return {
        "events": [(event.sequence, event.type, sorted(event.data)) for event in harness.events()],
        "steps": [
            (step.name, step.status, step.attempts, step.parts_done, step.percent, step.message)
            for step in harness.steps()
        ],
        "run": (harness.run().status, harness.run().lease_token),
        "tenant": (harness.tenant().state, harness.tenant().version, harness.tenant().last_sequence),
        "held": len(harness.held_resources()),
        "wake-ups": [wake_up.move for wake_up in harness.wake_ups],
    }


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_saga_in_groups_ends_as_a_saga_alone(harness: RunHarness, other: RunHarness, cancelled: bool) -> None:  # noqa: FBT001  # both directions
    companion = waits(new_run_harness(harness.settings))
    applied: list[Decided] = []

    def apply(change: Change) -> Decided | None:
        """In one group with a change of another tenant, which has lost its claim after the first time."""
        decided: Decided | None = harness.execute(engine.apply_together, [companion, change])[1]
        assert decided is not None
        applied.append(decided)
        return decided

    for one, group in ((harness, apply), (other, None)):
        one.create("shop")
        one.step_runner.group = group
        if cancelled:
            one.make_moves(until="await_readiness")
            one.cancel()
        one.step_runner.keep_for = 60
        one.make_moves(until=None)

    assert facts_of(harness) == facts_of(other)
    assert harness.tenant().state == ("PENDING" if cancelled else "ACTIVE")
    assert any(decided.transition and decided.transition.tells_what_is_held for decided in applied)
    assert any(decided.transition and decided.transition.tenant for decided in applied)


def test_a_saga_whose_groups_lose_every_reply_ends_as_a_saga_alone(harness: RunHarness, other: RunHarness) -> None:
    groups: list[Change] = []

    def apply(change: Change) -> None:
        """Written, but its worker does not know it."""
        groups.append(change)
        harness.execute(engine.apply_together, [change])

    for one, group in ((harness, apply), (other, None)):
        one.create("shop")
        one.step_runner.group = group
        one.step_runner.keep_for = 60
        one.make_moves(until=None)

    assert facts_of(harness) == facts_of(other)
    assert harness.tenant().state == "ACTIVE"
    assert len(groups) > len(harness.steps())


def test_what_a_group_has_not_written_is_decided_on_a_new_position(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mostly the guard of the remembered one has failed: a second try of it would be a statement for nothing."""
    harness.create()
    claim = harness.claim()
    harness.cancel()
    harness.step_runner.group = lambda _: None

    with recorded_statements(harness, monkeypatch) as statements:
        harness.step_runner._record(claim, Done(), None)

    assert len(statements) == 2
    assert statements[0] == run_reader.READ
    assert harness.step(claim.move.step).status is StepStatus.DONE


def test_each_run_of_a_group_has_its_own_events_ledger_and_lease(harness: RunHarness) -> None:
    many = [new_run_harness(harness.settings) for _ in range(5)]
    claims = []
    for one in many:
        one.create()
        one.make_moves(until="allocate_storage")
        claims.append(one.claim())
    leases = [new_lease(LEASE) for _ in many]
    group = [engine.recording(claim, Done(), keep).decided_now() for claim, keep in zip(claims, leases, strict=True)]
    results = harness.execute(engine.apply_together, group)

    for one, result, keep in zip(many, results, leases, strict=True):
        position = position_of(result)
        assert position.run.lease_token == one.run().lease_token == keep.token
        assert one.step("allocate_storage").status is StepStatus.DONE
        assert one.step("allocate_identity").status is StepStatus.RUNNING
        assert [event.sequence for event in one.events()] == list(range(1, len(one.events()) + 1))
        assert one.event_lines()[-2:] == [
            "provisioning.step_completed allocate_storage",
            "provisioning.step_started allocate_identity",
        ]
        now = harness.execute(run_reader.read, position.run.id)
        assert now is not None
        assert now.revision == position.revision


def test_claims_and_records_of_a_group_take_two_statements(
    harness: RunHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [new_run_harness(harness.settings) for _ in range(4)]
    changes = [waits(one) for one in many[:2]]
    for one in many[2:]:
        one.create()
        changes.append(claiming(one))

    with recorded_statements(harness, monkeypatch) as statements:
        results = harness.execute(engine.apply_together, changes)

    assert all(result and result.transition for result in results)
    assert statements == [run_reader.READ, run_store.WRITE_TOGETHER]


def claiming(harness: RunHarness) -> Change:
    """The change of a worker that claims the first move."""
    move = harness.next_move()
    assert isinstance(move, Forward)
    return engine.claiming(harness.run().id, move, harness.settings, new_lease(LEASE))


def position_of(decided: Decided | None) -> Position:
    assert decided is not None
    assert decided.transition is not None
    return decided.transition.position


@pytest.mark.parametrize("outcome", [Done(), NotYet(timedelta(seconds=1))])
@pytest.mark.parametrize("lose", ["taken over", "cancelled", "recorded"])
def test_a_lost_claim_in_a_group_writes_nothing_and_stops_no_other_one(
    harness: RunHarness, other: RunHarness, lose: str, outcome: Done | NotYet
) -> None:
    harness.create()
    lost = harness.claim()
    match lose:
        case "taken over":
            harness.expire_lease()
            harness.claim()
        case "cancelled":
            harness.cancel()
        case _:
            harness.record(lost, Done())
    before, partner = all_rows(harness), waits(other)

    recording = engine.recording(lost, outcome, new_lease(LEASE)).decided_now()
    nothing, done = harness.execute(engine.apply_together, [recording, partner])

    assert nothing is None
    assert done is not None
    assert all_rows(harness) == before
    assert other.run().lease_token is None


def test_an_error_of_one_decision_stops_no_other_one(harness: RunHarness, other: RunHarness) -> None:
    def decide(_: Position) -> Transition:
        raise AssertionError("of one run")

    harness.create()
    failed, applied = harness.execute(engine.apply_together, [Change(harness.run().id, decide), waits(other)])

    assert failed is None
    assert applied is not None
    with pytest.raises(AssertionError, match="of one run"):
        harness.execute(engine.apply, Change(harness.run().id, decide))


@pytest.mark.parametrize("lock", [locked_live_run, locked_tenant_row], ids=["run", "tenant"])
def test_what_is_locked_is_left_out_and_makes_no_other_one_wait(
    harness: RunHarness, other: RunHarness, lock: Callable[[Session, UUID], object]
) -> None:
    locked, free = waiting(harness), waiting(other)

    with harness.database.transaction() as session, ThreadPoolExecutor(1) as pool:
        lock(session, harness.tenant_id)
        for group in ([locked, free], [locked]):
            writing = pool.submit(other.execute, run_store.write_together, group)
            positions = writing.result(10)
            assert [position is not None for position in positions] == [one is free for one in group]

    assert harness.execute(run_store.write_together, [locked])[0] is not None

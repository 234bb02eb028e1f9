"""Transitions that are written in one statement have the effect of each one alone, and a lost claim writes nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from models import StepStatus
from provisioning import engine, run_store, transitions
from provisioning.claims import Claim
from provisioning.locking import locked_live_run
from provisioning.position import Position
from provisioning.saga import Done, NotYet
from provisioning.transition import Transition
from provisioning.transitions import Lease
from tests.run_harness import RunHarness, new_run_harness
from tests.tenant_states import all_rows

Write = Callable[[Transition], Position | None]

LEASE = timedelta(seconds=15)


def lease() -> Lease:
    return Lease(uuid4(), "harness", LEASE)


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


def keeps(harness: RunHarness, claim: Claim | None, write: Write | None) -> None:
    """Make moves while the run is kept, and record their outcomes with ``write``, or each alone."""
    while claim is not None:
        outcome, keep = harness.perform(claim), lease()
        recorded = engine.try_to_record(write, claim, outcome, keep) if write else None
        claim = recorded.kept if recorded else harness.execute(engine.record, claim, outcome, keep)


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
    companion = new_run_harness(harness.settings)
    written: list[Transition] = [waiting(companion)]

    def write(transition: Transition) -> Position | None:
        """In one group with a transition of another tenant, which has lost its claim after the first time."""
        written.append(transition)
        position: Position | None = harness.execute(run_store.write_together, [written[0], transition])[1]
        return position

    for one, how in ((harness, write), (other, None)):
        one.create("shop")
        if cancelled:
            one.make_moves(until="await_readiness")
            one.cancel()
        keeps(one, one.claim(), how)

    assert facts_of(harness) == facts_of(other)
    assert harness.tenant().state == ("PENDING" if cancelled else "ACTIVE")
    assert len(written) > 4


def test_each_run_of_a_group_has_its_own_events_ledger_and_lease(harness: RunHarness) -> None:
    many = [new_run_harness(harness.settings) for _ in range(5)]
    claims = []
    for one in many:
        one.create()
        one.make_moves(until="allocate_storage")
        claims.append(one.claim())
    leases = [lease() for _ in many]
    group: list[Transition] = []

    def remember(transition: Transition) -> None:
        group.append(transition)

    for claim, keep in zip(claims, leases, strict=True):
        assert engine.try_to_record(remember, claim, Done(), keep) is None
    positions = harness.execute(run_store.write_together, group)

    for one, position, keep in zip(many, positions, leases, strict=True):
        assert position is not None
        assert position.run.lease_token == one.run().lease_token == keep.token
        assert one.step("allocate_storage").status is StepStatus.DONE
        assert one.step("allocate_identity").status is StepStatus.RUNNING
        assert [event.sequence for event in one.events()] == list(range(1, len(one.events()) + 1))
        assert one.event_lines()[-2:] == [
            "provisioning.step_completed allocate_storage",
            "provisioning.step_started allocate_identity",
        ]
        now = harness.execute(run_store.read, position.run.id)
        assert now is not None
        assert now.revision == position.revision


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
    before, partner = all_rows(harness), waiting(other)

    def write(transition: Transition) -> Position | None:
        nothing, done = harness.execute(run_store.write_together, [transition, partner])
        assert done is not None
        return nothing

    assert engine.try_to_record(write, lost, outcome, lease()) is None
    assert all_rows(harness) == before
    assert other.run().lease_token is None


def test_a_run_that_is_locked_is_left_out_and_makes_no_other_one_wait(harness: RunHarness, other: RunHarness) -> None:
    locked, free = waiting(harness), waiting(other)

    with harness.database.transaction() as session, ThreadPoolExecutor(1) as pool:
        locked_live_run(session, harness.tenant_id)
        writing = pool.submit(other.execute, run_store.write_together, [locked, free])
        positions = writing.result(10)

    assert [position is not None for position in positions] == [False, True]
    assert harness.execute(run_store.write_together, [locked])[0] is not None


def test_a_transition_that_says_what_is_held_is_not_written_in_a_group(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="mark_active")

    def write(_: Transition) -> Position | None:
        raise AssertionError("must be decided on a new position")

    assert engine.try_to_record(write, harness.claim(), Done(), lease()) is None

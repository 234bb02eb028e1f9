"""Denied attempts: the first is an event at once, the others are counted and summarised."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, update
from sqlmodel import col, select

from models import ActorKind, Denial, Event
from models.columns import new_id
from provisioning.actors import Actor
from provisioning.denials import MAX_SUMMARIES, SUMMARY_INTERVAL, record_denial, summarise_denials
from tests.run_harness import RunHarness, operator_of

REASON = "You are not allowed to do this."


def denials_of(harness: RunHarness) -> list[Event]:
    mine = select(Event).where(Event.organisation_id == harness.organisation.id, Event.type == "access.denied")
    return harness.read(lambda session: list(session.exec(mine.order_by(col(Event.position)))))


def facts_of(harness: RunHarness) -> list[dict[str, object]]:
    return [event.data for event in denials_of(harness)]


def deny(harness: RunHarness, action: str, by: Actor, times: int = 1, reason: str = REASON) -> None:
    for _ in range(times):
        harness.transact(record_denial, harness.organisation.id, action, reason, by=by)


def summarise(harness: RunHarness) -> None:
    """Summarise everything that earlier tests left, too."""
    while harness.transact(summarise_denials) == MAX_SUMMARIES:
        pass


def let_time_pass(harness: RunHarness, time: timedelta = SUMMARY_INTERVAL) -> None:
    with harness.database.transaction() as session:
        earlier = col(Denial.recorded_at) - time
        mine = col(Denial.organisation_id) == harness.organisation.id
        session.execute(update(Denial).where(mine).values(recorded_at=earlier))


def test_the_first_denial_of_each_caller_and_action_is_an_event_at_once(harness: RunHarness) -> None:
    first, second = operator_of(harness.organisation), operator_of(harness.organisation, "Vera")

    for by in (first, second):
        for action in ("suspendTenant", "inviteMember"):
            deny(harness, action, by, times=3)

    assert [(event.actor_id, event.data) for event in denials_of(harness)] == [
        (by.id, {"action": action, "reason": REASON})
        for by in (first, second)
        for action in ("suspendTenant", "inviteMember")
    ]


@pytest.mark.parametrize("times", [2, 7])
def test_repeated_denials_are_one_event_with_their_number_and_their_actor(harness: RunHarness, times: int) -> None:
    by = operator_of(harness.organisation)
    deny(harness, "suspendTenant", by)
    deny(harness, "suspendTenant", by, times - 1, reason="The tenant was not found.")

    summarise(harness)
    early = len(denials_of(harness))
    let_time_pass(harness)
    summarise(harness)

    assert early == 1
    summary = denials_of(harness)[1]
    assert summary.data == {"action": "suspendTenant", "reason": "The tenant was not found.", "repeated": times - 1}
    assert (summary.actor_kind, summary.actor_id) == (ActorKind.USER, by.id)
    assert (summary.actor_name, summary.actor_email) == (by.name, by.email)


def test_a_loop_that_goes_on_is_one_event_for_each_interval(harness: RunHarness) -> None:
    by = operator_of(harness.organisation)

    for _ in range(3):
        deny(harness, "suspendTenant", by, times=5)
        let_time_pass(harness)
        summarise(harness)

    assert [facts.get("repeated") for facts in facts_of(harness)] == [None, 4, 5, 5]


def test_a_denial_after_a_quiet_interval_is_an_event_at_once_again(harness: RunHarness) -> None:
    by = operator_of(harness.organisation)
    deny(harness, "suspendTenant", by)
    let_time_pass(harness)
    summarise(harness)

    deny(harness, "suspendTenant", by)

    assert facts_of(harness) == [{"action": "suspendTenant", "reason": REASON}] * 2


def test_concurrent_denials_are_one_event_and_all_others_are_counted(harness: RunHarness) -> None:
    by = operator_of(harness.organisation)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(deny, harness, "suspendTenant", by) for _ in range(24)]:
            done.result()

    counted = select(Denial.repeated).where(Denial.organisation_id == harness.organisation.id)
    assert len(denials_of(harness)) == 1
    assert harness.read(lambda session: session.exec(counted).one()) == 23


def test_concurrent_sweepers_summarise_denials_once(harness: RunHarness) -> None:
    for number in range(6):
        deny(harness, f"mutation{number}", operator_of(harness.organisation), times=2)
    let_time_pass(harness)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(summarise, harness) for _ in range(4)]:
            done.result()

    assert len([facts for facts in facts_of(harness) if "repeated" in facts]) == 6


def test_denials_that_were_summarised_and_not_repeated_leave_no_row(harness: RunHarness) -> None:
    deny(harness, "suspendTenant", operator_of(harness.organisation), times=2)

    for _ in range(2):
        let_time_pass(harness)
        summarise(harness)

    rows = select(func.count()).select_from(Denial).where(col(Denial.organisation_id) == harness.organisation.id)
    assert harness.read(lambda session: session.scalar(rows)) == 0
    assert len(denials_of(harness)) == 2


def test_support_denials_are_counted_for_each_organisation(harness: RunHarness) -> None:
    support = Actor(ActorKind.SUPPORT, new_id(), "Sam", "sam@tenantry.example")

    deny(harness, "suspendTenant", support, times=3)
    let_time_pass(harness)
    summarise(harness)

    assert [(event.actor_kind, event.data.get("repeated")) for event in denials_of(harness)] == [
        (ActorKind.SUPPORT, None),
        (ActorKind.SUPPORT, 2),
    ]

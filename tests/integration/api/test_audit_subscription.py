"""The subscription auditEventAdded delivers each event once, including events that commit late."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from models import Event, Tenant
from provisioning.audit_feed import EventFilter, feed_since, feed_start
from provisioning.event_types import EventType
from provisioning.events import emit, emit_for_organisation
from tests.api import Api, Client, Facts, Subscription, tenant_gid
from tests.run_harness import RunHarness

ADDED = """
subscription Added($after: String, $filter: AuditEventFilter) {
  auditEventAdded(after: $after, filter: $filter) { cursor type data tenant { slug } actor { displayName } }
}
"""
FEED = "{ auditEvents(first: 100) { edges { cursor node { type data } } } }"


@contextmanager
def added(api: Api, client: Client, **variables: object) -> Iterator[Subscription]:
    """A subscription with a registered watcher."""
    api.await_watchers(0)
    with client.subscribed(ADDED, **variables) as subscription:
        api.await_watchers(1)
        yield subscription


def tell(session: Session, harness: RunHarness, number: int) -> None:
    """Something that happened in the stage's organisation."""
    emit_for_organisation(
        session,
        harness.organisation.id,
        EventType.ACCESS_DENIED,
        {"action": str(number), "reason": ""},
        by=harness.operator,
    )
    session.flush()


def actions(entries: list[Facts]) -> list[str]:
    return [entry["data"]["action"] for entry in entries]


@pytest.mark.parametrize("one_tenant", [False, True])
def test_a_subscription_starts_on_a_feed_without_events(harness: RunHarness, *, one_tenant: bool) -> None:
    harness.create(start=False)
    event_filter = EventFilter(tenant_id=harness.tenant_id) if one_tenant else EventFilter()

    with harness.database.transaction() as session:
        session.execute(text("SET LOCAL tenantry.retention = 'on'; DELETE FROM events"))
        start = feed_start(session, event_filter)
        page = feed_since(session, event_filter, start, by=harness.operator)
        session.rollback()

    assert page.entries == []


def test_a_subscription_without_a_cursor_delivers_only_events_from_now_on(
    api: Api, harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    harness.create("before", start=False)
    with added(api, owner) as subscription:
        other.create("elsewhere")
        harness.create("after")

        entries = [subscription.next() for _ in range(2)]

    assert [(entry["type"], entry["tenant"]["slug"]) for entry in entries] == [
        ("tenant.created", "after"),
        ("tenant.provisioning.started", "after"),
    ]


def test_a_tenants_events_keep_their_order_whichever_transaction_began_first(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    harness.create(start=False)

    def rename(session: Session, name: str) -> None:
        tenant = session.get_one(Tenant, harness.tenant_id)
        emit(session, tenant, EventType.TENANT_UPDATED, {"action": name}, by=harness.operator)

    with added(api, owner) as subscription:
        with harness.database.transaction() as waiting:
            tell(waiting, harness, 1)
            harness.transact(rename, "2")
            rename(waiting, "3")
            waiting.commit()
        harness.transact(tell, harness, 4)
        delivered = actions([subscription.next() for _ in range(4)])
    page = [edge["node"]["data"].get("action") for edge in owner.execute(FEED)["auditEvents"]["edges"]]

    assert delivered == page[3::-1]
    assert delivered.index("2") < delivered.index("3"), "the second transaction waited for the first"
    assert set(delivered) == {"1", "2", "3", "4"}


def test_events_committed_before_the_subscription_are_not_delivered_while_an_older_transaction_is_open(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    with harness.database.transaction() as oldest:
        tell(oldest, harness, 1)
        harness.transact(tell, harness, 2)
        with added(api, owner) as subscription:
            harness.transact(tell, harness, 3)
            oldest.commit()
            entries = [subscription.next() for _ in range(2)]

    assert actions(entries) == ["1", "3"]


def test_an_event_that_commits_late_is_delivered_before_later_ones(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    with added(api, owner) as subscription:
        with harness.database.transaction() as late:
            tell(late, harness, 1)
            harness.transact(tell, harness, 2)
            early = owner.execute(FEED)["auditEvents"]["edges"]
        entries = [subscription.next() for _ in range(2)]

    assert actions(entries) == ["1", "2"]
    assert early == []


def test_the_events_of_one_tenant_are_not_held_back_by_other_open_transactions(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    harness.create(start=False)
    only = {"filter": {"tenantId": tenant_gid(harness.tenant_id)}}
    with harness.database.transaction() as late:
        tell(late, harness, 1)
        with added(api, owner, **only) as subscription:
            owner.mutate("updateTenant", tenantId=tenant_gid(harness.tenant_id), name="Other")
            entry = subscription.next()
            listed = owner.execute(
                "query F($filter: AuditEventFilter) { auditEvents(filter: $filter) { edges { node { type } } } }",
                **only,
            )

    assert entry["type"] == "tenant.updated"
    assert [edge["node"]["type"] for edge in listed["auditEvents"]["edges"]] == ["tenant.updated", "tenant.created"]


def test_a_filter_applies_to_delivered_events(api: Api, harness: RunHarness, owner: Client) -> None:
    with added(api, owner, filter={"typeIn": ["access.*"]}) as subscription:
        harness.create()
        harness.transact(tell, harness, 1)
        entry = subscription.next()

    assert entry["type"] == "access.denied"


def test_a_subscription_with_a_cursor_of_the_list_has_no_gap_and_no_repeat(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    for number in range(3):
        harness.transact(tell, harness, number)
    newest = owner.execute(FEED)["auditEvents"]["edges"][0]
    for number in range(3, 6):
        harness.transact(tell, harness, number)

    with added(api, owner, after=newest["cursor"]) as subscription:
        harness.transact(tell, harness, 6)
        entries = [subscription.next() for _ in range(4)]

    assert actions(entries) == ["3", "4", "5", "6"]


def test_a_cursor_of_the_organisations_feed_is_refused_for_one_tenants_events(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    harness.create(start=False)
    harness.transact(tell, harness, 1)
    cursor = owner.execute(FEED)["auditEvents"]["edges"][0]["cursor"]

    with owner.subscribed(ADDED, after=cursor, filter={"tenantId": tenant_gid(harness.tenant_id)}) as subscription:
        message = subscription.message()

    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert errors[0]["extensions"]["code"] == "BAD_USER_INPUT"


def test_a_subscriber_that_reconnects_gets_every_event_of_writers_that_commit_out_of_order(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    tenants = [harness.create(f"shop-{number}", start=False).tenant.id for number in range(4)]
    start = owner.execute(FEED)["auditEvents"]["edges"][0]["cursor"]
    seen: list[Facts] = []

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(_write, harness, tenants, seed) for seed in range(8)]
        while len(seen) < 8 * 12:
            with owner.subscribed(ADDED, after=seen[-1]["cursor"] if seen else start) as subscription:
                seen += [subscription.next() for _ in range(min(32, 8 * 12 - len(seen)))]
        for writer in writers:
            writer.result()

    updates = select(Event).where(Event.organisation_id == harness.organisation.id, Event.type == "tenant.updated")
    written = harness.read(lambda session: session.exec(updates).all())
    assert sorted(str(entry["data"]["number"]) for entry in seen) == sorted(str(row.data["number"]) for row in written)
    assert len({entry["cursor"] for entry in seen}) == len(seen) == 96


def _write(harness: RunHarness, tenants: list[Any], seed: int) -> None:
    """Write twelve events in transactions that overlap in any order, because each is delayed before and after."""
    random = Random(seed)
    for number in range(12):
        with harness.database.transaction() as session:
            session.connection().exec_driver_sql("SELECT pg_current_xact_id()")
            session.connection().exec_driver_sql(f"SELECT pg_sleep({random.random() / 10})")
            tenant = session.get_one(Tenant, random.choice(tenants))
            emit(session, tenant, EventType.TENANT_UPDATED, {"number": f"{seed}-{number}"}, by=harness.operator)
            session.flush()
            session.connection().exec_driver_sql(f"SELECT pg_sleep({random.random() / 10})")

"""A cursor of an event that the database lost, deleted or never had is refused, and others continue."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

import httpx
import pytest
from httpx_sse import EventSource
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import Session

from models import TenantState
from provisioning import audit_export
from provisioning.anchors import UnknownCursor
from provisioning.audit_feed import EventFilter, FeedStart, anchor_of, feed, feed_since, read_timeline
from provisioning.pagination import Window
from server.audit_export import endpoint
from tests.api import TIMEOUT, Api, Client, Facts, Subscription, tenant_gid
from tests.http_client import HTTP
from tests.run_harness import RunHarness
from tests.tenant_states import bring_tenant_to

UNKNOWN = "UNKNOWN_CURSOR"

PAGE_AFTER = "query A($at: String, $t: ID) { auditEvents(after: $at, filter: {tenantId: $t}) { edges { cursor } } }"
PAGE_BEFORE = (
    "query B($at: String, $t: ID) { auditEvents(last: 100, before: $at, filter: {tenantId: $t}) { edges { cursor } } }"
)
FEED = "subscription F($at: String, $t: ID) { auditEventAdded(after: $at, filter: {tenantId: $t}) { cursor type } }"
TIMELINE = """subscription T($at: String, $t: ID!) {
    tenantProvisioning(tenantId: $t, after: $at, follow: true) { cursor sequence kind }
}"""
RUN_TIMELINE = """query R($at: String, $t: ID!) {
    tenant(id: $t) { runs(first: 1) { edges { node { timeline(first: 100, after: $at) { edges { cursor } } } } } }
}"""


class Restored(Exception):
    """Rolls an example's restore back."""


def restore(session: Session, harness: RunHarness, events: int) -> None:
    """Keep the first ``events`` of the tenant's events, as a database does that was restored to that moment."""
    session.execute(text("SET LOCAL session_replication_role = replica"))  # the trigger forbids to delete events
    values = {"tenant": harness.tenant_id, "kept": events}
    session.execute(text("DELETE FROM events WHERE tenant_id = :tenant AND sequence > :kept"), values)
    session.execute(text("UPDATE tenants SET last_sequence = :kept WHERE id = :tenant"), values)


def export(client: Client, **parameters: str | None) -> httpx.Response:
    return HTTP.get(
        f"http://{client.address}/export/audit.jsonl",
        params={name: value for name, value in parameters.items() if value},
        headers={"Authorization": client.authorization or ""},
        timeout=TIMEOUT,
    )


def code_of_export(client: Client, cursor: str, tenant: str | None) -> str | None:
    response = export(client, after=cursor, tenantId=tenant)
    if response.status_code == 200:
        return None
    assert response.status_code == 410, response.text
    code: str = response.json()["errors"][0]["extensions"]["code"]
    return code


def code_of_query(document: str) -> Callable[[Client, str, str | None], str | None]:
    def code(client: Client, cursor: str, tenant: str | None) -> str | None:
        errors = client.result(document, at=cursor, t=tenant).get("errors", [])
        return errors[0]["extensions"]["code"] if errors else None

    return code


def code_of_subscription(document: str) -> Callable[[Client, str, str | None], str | None]:
    def code(client: Client, cursor: str, tenant: str | None) -> str | None:
        with client.subscribed(document, at=cursor, t=tenant) as subscription:
            return refusal_of(subscription)

    return code


def refusal_of(subscription: Subscription) -> str | None:
    """The code with which the subscription ends; None if it delivers an event instead, or waits for one."""
    with suppress(TimeoutError):
        while True:
            message = subscription.message(within=TIMEOUT)
            if message["type"] == "error":
                code: str = message["payload"][0]["extensions"]["code"]
                return code
            if message["type"] == "next":
                errors = message["payload"].get("errors")
                return errors[0]["extensions"]["code"] if errors else None
    return None


FEED_WAYS = {
    "a page after it": code_of_query(PAGE_AFTER),
    "a page before it": code_of_query(PAGE_BEFORE),
    "the export": code_of_export,
    "the subscription": code_of_subscription(FEED),
}
TIMELINE_WAYS = {
    "the timeline's subscription": code_of_subscription(TIMELINE),
    "the timeline's page": code_of_query(RUN_TIMELINE),
}


def feed_cursors(client: Client, tenant: str) -> list[str]:
    """The cursors of the tenant's events, oldest first."""
    page = client.execute(PAGE_AFTER.replace("auditEvents(", "auditEvents(first: 100, "), t=tenant)["auditEvents"]
    return [edge["cursor"] for edge in page["edges"]][::-1]


def timeline_cursors(client: Client, tenant: str) -> list[str]:
    (run,) = client.execute(RUN_TIMELINE, t=tenant)["tenant"]["runs"]["edges"]
    return [edge["cursor"] for edge in run["node"]["timeline"]["edges"]]


def decoded(cursor: str) -> list[object]:
    values: list[object] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return values


def encoded(values: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def exports_on_record(harness: RunHarness) -> int:
    statement = text("SELECT count(*) FROM events WHERE organisation_id = :id AND type = 'org.feed_exported'")
    return int(harness.read(lambda session: session.scalar(statement, {"id": harness.organisation.id})))


@pytest.fixture
def tenant(harness: RunHarness) -> str:
    """A tenant with a run in progress and some events."""
    harness.create()
    harness.make_moves(until="apply_schema")
    return tenant_gid(harness.tenant_id)


@pytest.mark.parametrize("passed", [False, True], ids=["beyond the end", "after the feed has passed it"])
@pytest.mark.parametrize("narrow", [False, True], ids=["whole feed", "one tenant"])
@pytest.mark.parametrize("way", FEED_WAYS)
def test_a_feed_cursor_of_a_lost_event_is_refused(
    harness: RunHarness, owner: Client, tenant: str, way: str, *, narrow: bool, passed: bool
) -> None:
    lost = feed_cursors(owner, tenant)[-1]
    harness.transact(restore, harness, 5)
    if passed:
        harness.make_moves()

    assert FEED_WAYS[way](owner, lost, tenant if narrow else None) == UNKNOWN
    assert exports_on_record(harness) == 0


@pytest.mark.parametrize("passed", [False, True], ids=["beyond the end", "after the timeline has passed it"])
@pytest.mark.parametrize("way", TIMELINE_WAYS)
def test_a_timeline_cursor_of_a_lost_event_is_refused(
    harness: RunHarness, owner: Client, tenant: str, way: str, *, passed: bool
) -> None:
    lost = timeline_cursors(owner, tenant)[-1]
    harness.transact(restore, harness, 5)
    if passed:
        harness.make_moves()

    assert TIMELINE_WAYS[way](owner, lost, tenant) == UNKNOWN


def delete_after_retention(session: Session, harness: RunHarness, events: int) -> None:
    """Delete the tenant's first ``events`` events, as an operator does when their retention is over."""
    session.execute(text("SET LOCAL tenantry.retention = 'on'"))
    values = {"tenant": harness.tenant_id, "deleted": events}
    session.execute(text("DELETE FROM events WHERE tenant_id = :tenant AND sequence <= :deleted"), values)


def lost_in_a_restore(harness: RunHarness, cursors: list[str]) -> str:
    harness.transact(restore, harness, 5)
    return cursors[-1]


def deleted(harness: RunHarness, cursors: list[str]) -> str:
    harness.transact(delete_after_retention, harness, 3)
    return cursors[0]


def forged(_: RunHarness, cursors: list[str]) -> str:
    *place, _event = decoded(cursors[3])
    return encoded([*place, str(uuid4())])


CAUSES = {"restored": lost_in_a_restore, "retention": deleted, "forged": forged}
SAID = [
    "its retention is over",
    "the database was restored to an earlier time",
    "this installation never returned the cursor",
    "Read again without a cursor",
    "subscribe from now on",
]


def error_of_stream(client: Client, cursor: str) -> Facts:
    """The error of a subscription as Server-Sent Events that continues after ``Last-Event-ID``."""
    headers = {"Authorization": client.authorization or "", "Accept": "text/event-stream", "Last-Event-ID": cursor}
    body = {"query": FEED, "variables": {}}
    url = f"http://{client.address}/graphql/stream"
    with HTTP.stream("POST", url, json=body, headers=headers, timeout=TIMEOUT) as response:
        first = next(event.json() for event in EventSource(response).iter_sse() if event.data)
    error: Facts = first["errors"][0]
    return error


def error_of_websocket(client: Client, cursor: str) -> Facts:
    with client.subscribed(FEED, at=cursor, t=None) as subscription:
        message = subscription.message(within=TIMEOUT)
    payload = message["payload"]
    error: Facts = (payload if message["type"] == "error" else payload["errors"])[0]
    return error


ERRORS: dict[str, Callable[[Client, str], Facts]] = {
    "page": lambda client, cursor: client.result(PAGE_AFTER, at=cursor, t=None)["errors"][0],
    "export": lambda client, cursor: export(client, after=cursor).json()["errors"][0],
    "websocket": error_of_websocket,
    "stream": error_of_stream,
}


@pytest.mark.parametrize("cause", CAUSES)
def test_every_way_says_why_a_cursor_can_be_unknown_and_what_to_do(
    harness: RunHarness, owner: Client, tenant: str, cause: str
) -> None:
    cursor = CAUSES[cause](harness, feed_cursors(owner, tenant))

    errors = {way: error_of(owner, cursor) for way, error_of in ERRORS.items()}

    assert {way: error["extensions"]["code"] for way, error in errors.items()} == dict.fromkeys(ERRORS, UNKNOWN)
    for way, error in errors.items():
        assert [words for words in SAID if words not in error["message"]] == [], way


@pytest.mark.parametrize("cause", CAUSES)
def test_a_client_with_an_unknown_cursor_continues_as_the_error_says(
    harness: RunHarness, owner: Client, tenant: str, cause: str
) -> None:
    CAUSES[cause](harness, feed_cursors(owner, tenant))

    read_again = feed_cursors(owner, tenant)
    harness.make_moves(until="await_readiness")
    expected = feed_cursors(owner, tenant)[len(read_again) :]
    with owner.subscribed(FEED, at=read_again[-1], t=None) as subscription:
        delivered = [subscription.next()["cursor"] for _ in expected]

    assert delivered == expected != []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_exactly_the_cursors_of_lost_events_are_refused(harness: RunHarness, tenant: str, data: st.DataObject) -> None:
    events = harness.events()
    kept = data.draw(st.integers(1, len(events)), label="events that the backup has")
    event = data.draw(st.sampled_from(events), label="event of the cursor")
    anchor = anchor_of(event)
    narrow = data.draw(st.sampled_from([EventFilter(), EventFilter(tenant_id=event.tenant_id)]))
    place = narrow.key_of(event)
    reads: list[Callable[[Session], object]] = [
        lambda session: feed(session, narrow, Window(5, after=place, anchors=(anchor,)), by=harness.operator),
        lambda session: feed(session, narrow, Window(5, before=place, anchors=(anchor,)), by=harness.operator),
        lambda session: feed_since(session, narrow, FeedStart(place, anchor), by=harness.operator),
        lambda session: read_timeline(session, harness.tenant_id, anchor),
    ]
    read = data.draw(st.sampled_from(reads))
    refused = False

    with suppress(Restored), harness.database.transaction() as session:
        restore(session, harness, kept)
        try:
            read(session)
        except UnknownCursor:
            refused = True
        raise Restored

    assert refused is ((event.sequence or 0) > kept)


@pytest.mark.parametrize("document", [FEED, TIMELINE], ids=["feed", "timeline"])
@pytest.mark.parametrize("cursor", [False, True], ids=["from now on", "from a cursor"])
def test_an_open_subscription_ends_when_its_place_is_lost(
    api: Api, harness: RunHarness, owner: Client, tenant: str, document: str, *, cursor: bool
) -> None:
    cursors = feed_cursors(owner, tenant) if document is FEED else timeline_cursors(owner, tenant)
    with watched(api, owner, document, tenant, cursors[-1] if cursor or document is TIMELINE else None) as subscription:
        harness.transact(restore, harness, 5)

        assert refusal_of(subscription) == UNKNOWN


def test_a_subscription_continues_behind_an_event_that_the_backup_has(
    harness: RunHarness, owner: Client, tenant: str
) -> None:
    kept = feed_cursors(owner, tenant)[3]
    harness.transact(restore, harness, 6)
    harness.make_moves(until="await_readiness")
    expected = feed_cursors(owner, tenant)[4:]

    with owner.subscribed(FEED, at=kept, t=None) as subscription:
        delivered = [subscription.next()["cursor"] for _ in expected]

    assert delivered == expected


def test_an_export_that_continues_with_a_new_cursor_notices_the_restore(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    batches = audit_export.batches

    def restored_after_the_first(*args: object, **kwargs: object) -> Iterator[object]:
        yield next(batches(*args, **kwargs))  # type: ignore[arg-type]  # passed on unchanged
        harness.transact(restore, harness, 1)

    monkeypatch.setattr(audit_export, "BATCH_SIZE", 3)
    monkeypatch.setattr(endpoint, "CURSOR_TIMEOUT", -1.0)
    monkeypatch.setattr(audit_export, "batches", restored_after_the_first)

    with pytest.raises(httpx.RemoteProtocolError):
        export(owner)


@pytest.mark.parametrize("way", FEED_WAYS)
def test_a_feed_cursor_of_an_earlier_release_is_valid_up_to_the_end(
    harness: RunHarness, owner: Client, tenant: str, way: str
) -> None:
    name, rank, position, sequence, _ = decoded(feed_cursors(owner, tenant)[3])

    assert FEED_WAYS[way](owner, encoded([name, rank, position, sequence]), None) is None
    assert FEED_WAYS[way](owner, encoded([name, 2**60, position, sequence]), None) == UNKNOWN


@pytest.mark.parametrize("way", TIMELINE_WAYS)
def test_a_timeline_cursor_of_an_earlier_release_is_valid_up_to_the_end(
    harness: RunHarness, owner: Client, tenant: str, way: str
) -> None:
    name, sequence, _ = decoded(timeline_cursors(owner, tenant)[3])

    assert TIMELINE_WAYS[way](owner, encoded([name, sequence]), tenant) is None
    assert TIMELINE_WAYS[way](owner, encoded([name, 10**6]), tenant) == UNKNOWN


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_feed_cursor_whose_numbers_do_not_belong_to_its_event_is_refused(
    owner: Client, tenant: str, index: int
) -> None:
    values: list[object] = decoded(feed_cursors(owner, tenant)[3])
    values[index] = int(str(values[index])) + 1

    assert FEED_WAYS["a page after it"](owner, encoded(values), None) == UNKNOWN


def test_a_cursor_stays_valid_for_a_service_account_that_may_no_longer_see_its_event(
    api: Api, harness: RunHarness, owner: Client, tenant: str
) -> None:
    cursor = feed_cursors(owner, tenant)[3]
    harness.create("other")
    limited = api.service_account(harness.organisation.id, "audit:read", only={harness.tenant_id})

    assert FEED_WAYS["a page before it"](limited, cursor, None) is None


@contextmanager
def watched(api: Api, client: Client, document: str, tenant: str, at: str | None) -> Iterator[Subscription]:
    """A subscription that has read everything and waits."""
    api.await_watchers(0)
    with client.subscribed(document, at=at, t=tenant if document is TIMELINE else None) as subscription:
        api.await_watchers(1)
        yield subscription

"""Scenarios of a database that loses its newest events: it is restored, or a standby that lagged is promoted."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

import httpx
from httpx_sse import EventSource

from tests.api import Client, Facts, Subscription
from tests.conformance.field.api_clients import ApiClient, Saga
from tests.conformance.field.failpoint_controller import until
from tests.conformance.field.follower import Follower
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options

UNKNOWN = "UNKNOWN_CURSOR"
NOTICED_WITHIN = 20.0
"""Seconds until an open subscription has noticed the loss: Postgres has to be reachable again first."""

FEED = "subscription F($after: String) { it: auditEventAdded(after: $after) { id cursor } }"
FEED_OF_ONE = """
    subscription O($after: String, $id: ID!) { it: auditEventAdded(after: $after, filter: {tenantId: $id}) {
      id cursor } }
"""
TIMELINE = """
    subscription T($after: String, $id: ID!) { it: tenantProvisioning(tenantId: $id, after: $after, follow: true) {
      id cursor sequence } }
"""
PAGE = "query P($at: String) { auditEvents(first: 100, after: $at) { edges { cursor } } }"
PAGE_BEFORE = "query B($at: String) { auditEvents(last: 100, before: $at) { edges { cursor } } }"
PAGE_OF_RUNS = """
    query R($at: String, $id: ID!) { tenant(id: $id) { runs(first: 1) { edges { node {
      timeline(first: 100, after: $at) { edges { cursor } } } } } } }
"""

Code = Callable[[ApiClient, str, str], str | None]
Requests = dict[str, tuple[str, Facts]]
"""Documents of subscriptions with their variables."""


@scenario(without="no_check_of_cursors", breaks="V10", options=Options(workers=1, lease=4.0), alone=True)
def a_restored_database_is_noticed_by_every_cursor(harness: ScenarioHarness) -> str:
    """Cursors of events that a restore has lost are refused in pages, export and streams; older cursors continue."""
    client, bed = harness.owner, harness.testbed
    tenant = harness.create()
    _await_end(client, tenant, "SUCCEEDED")
    kept = (_feed(client)[-1], _timeline(client, tenant)[-1])
    backup = bed.back_up_postgres()
    client.retry_until_available("decommissionTenant", tenantId=tenant.id, confirmSlug=tenant.slug)
    _await_end(client, tenant, "DECOMMISSIONED")
    lost = (_feed(client)[-1], _timeline(client, tenant)[-1])

    with _waiting(harness, _of_lost(tenant, lost)) as subscriptions:
        bed.restore_postgres(backup)
        _expect_the_end_of(subscriptions)

    _expect_of_each_way(client, tenant, lost, UNKNOWN)
    _expect_of_each_way(client, tenant, kept, None)
    _pass(harness, tenant)
    _expect_of_each_way(client, tenant, lost, UNKNOWN)
    _expect_of_each_way(client, tenant, kept, None)
    ways = len(FEED_WAYS) + len(TIMELINE_WAYS)
    return f"{ways} ways to continue, {len(subscriptions)} open subscriptions, also after the feed had passed them"


@scenario(without="no_check_of_cursors", breaks="V10", options=Options(workers=1, lease=4.0, relayed=True), alone=True)
def a_promoted_standby_that_lagged_is_noticed_by_every_cursor(harness: ScenarioHarness) -> str:
    """A standby is promoted without the newest events: their cursors are refused, and older ones miss no event."""
    client, bed = harness.owner, harness.testbed
    tenant, unchanged = harness.create(), harness.create()
    for saga in (tenant, unchanged):
        _await_end(client, saga, "SUCCEEDED")
    standby = bed.start_standby()
    kept = (_feed(client)[-1], _timeline(client, tenant)[-1])
    place = _timeline(client, unchanged)[-1]
    standby.fall_behind()
    client.retry_until_available("decommissionTenant", tenantId=tenant.id, confirmSlug=tenant.slug)
    _await_end(client, tenant, "DECOMMISSIONED")
    lost = (_feed(client)[-1], _timeline(client, tenant)[-1])

    of_lost = _of_lost(tenant, lost)
    of_kept: Requests = {
        "the feed of an unchanged tenant": (FEED_OF_ONE, {"after": kept[0], "id": unchanged.id}),
        "its timeline": (TIMELINE, {"after": place, "id": unchanged.id}),
    }

    with _waiting(harness, of_lost | of_kept) as subscriptions:
        bed.fail_over(standby)
        _expect_the_end_of({what: subscriptions[what] for what in of_lost})
        _expect_of_each_way(client, tenant, lost, UNKNOWN)
        _expect_of_each_way(client, tenant, kept, None)
        _pass(harness, tenant)
        client.retry_until_available("decommissionTenant", tenantId=unchanged.id, confirmSlug=unchanged.slug)
        _await_end(client, unchanged, "DECOMMISSIONED")
        expected = (_exported(client, kept[0], tenantId=unchanged.id), _timeline(client, unchanged))
        for what, cursors in zip(of_kept, expected, strict=True):
            _expect_events(f"an open subscription to {what}", _delivered(subscriptions[what], len(cursors)), cursors)

    _expect_of_each_way(client, tenant, lost, UNKNOWN)
    events = _exported(client, kept[0])
    cuts = _follow("the feed", Follower(client, FEED, {}, seed=1, cursor=kept[0]), events)
    cuts += _follow(
        "a timeline", Follower(client, TIMELINE, {"id": tenant.id}, seed=2, cursor=kept[1]), _timeline(client, tenant)
    )
    return (
        f"{len(of_lost)} open subscriptions refused, {len(of_kept)} continued; "
        f"{len(events)} events after the promotion, followed over {cuts} cuts"
    )


def _of_lost(tenant: Saga, lost: tuple[str, str]) -> Requests:
    """Subscriptions of each kind that will wait behind events that get lost."""
    return {
        "the feed from now on": (FEED, {}),
        "the feed after a cursor": (FEED, {"after": lost[0]}),
        "a timeline": (TIMELINE, {"after": lost[1], "id": tenant.id}),
    }


@contextmanager
def _waiting(harness: ScenarioHarness, requests: Requests) -> Iterator[Mapping[str, Subscription]]:
    """Open subscriptions that wait for events."""
    counts = harness.testbed.resource_counts
    idle = counts()["listeners"]
    with ExitStack() as stack:
        subscriptions = {
            what: stack.enter_context(_subscribed(harness.owner, document, **variables))
            for what, (document, variables) in requests.items()
        }
        until(lambda: counts()["listeners"] >= idle + len(requests), "V10: no subscription begins")
        yield subscriptions


def _expect_the_end_of(subscriptions: Mapping[str, Subscription]) -> None:
    for what, subscription in subscriptions.items():
        _expect(f"an open subscription to {what}", _code_from(subscription), UNKNOWN)


def _delivered(subscription: Subscription, count: int) -> list[str]:
    """The cursors of the next events; entries of progress are not events, and have no sequence."""
    found: list[str] = []
    while len(found) < count:
        entry = subscription.next()
        found += [entry["cursor"]] if entry.get("sequence", 0) is not None else []
    return found


def _follow(what: str, follower: Follower, expected: list[str]) -> int:
    """Follow over many connections, and expect exactly these events. Returns the number of cut connections."""
    follower.follow(lambda seen: len(seen) >= len(expected))
    _expect_events(what, [entry["cursor"] for entry in follower.seen], expected)
    return follower.cuts


def _expect_events(what: str, delivered: list[str], expected: list[str]) -> None:
    assert delivered == expected != [], f"V10: {what} has {len(expected)} events after the loss, and not: {delivered}"


def _exported(client: ApiClient, cursor: str, **filters: str) -> list[str]:
    """The cursors of all events after this one, oldest first."""
    url = f"http://{client.testbed.address}/export/audit.jsonl"
    headers = {"Authorization": f"Bearer {client.token}"}
    response = client.testbed.http.get(url, params={"after": cursor, **filters}, headers=headers)
    return [json.loads(line)["cursor"] for line in response.raise_for_status().text.splitlines()]


def _code_of_query(document: str) -> Code:
    def code(client: ApiClient, cursor: str, tenant: str) -> str | None:
        return _code_in(_client(client).result(document, at=cursor, id=tenant))

    return code


def _code_of_subscription(document: str) -> Code:
    def code(client: ApiClient, cursor: str, tenant: str) -> str | None:
        with _subscribed(client, document, after=cursor, id=tenant) as subscription:
            return _code_from(subscription)

    return code


def _code_of_stream(client: ApiClient, cursor: str, tenant: str) -> str | None:
    headers = {"Authorization": f"Bearer {client.token}", "Accept": "text/event-stream", "Last-Event-ID": cursor}
    body = {"query": FEED, "variables": {}}
    url = f"http://{client.testbed.address}/graphql/stream"
    with client.testbed.http.stream("POST", url, json=body, headers=headers) as response:
        return next((_code_in(event.json()) for event in EventSource(response).iter_sse() if event.data), None)


def _code_of_export(client: ApiClient, cursor: str, tenant: str) -> str | None:
    url = f"http://{client.testbed.address}/export/audit.jsonl"
    headers = {"Authorization": f"Bearer {client.token}"}
    response: httpx.Response = client.testbed.http.get(url, params={"after": cursor}, headers=headers)
    return None if response.is_success else _code_in(response.json())


FEED_WAYS: Mapping[str, Code] = {
    "a page of older events": _code_of_query(PAGE),
    "a page of newer events": _code_of_query(PAGE_BEFORE),
    "the export": _code_of_export,
    "a websocket": _code_of_subscription(FEED),
    "a stream": _code_of_stream,
}
TIMELINE_WAYS: Mapping[str, Code] = {
    "a page of a timeline": _code_of_query(PAGE_OF_RUNS),
    "a websocket of a timeline": _code_of_subscription(TIMELINE),
}


def _expect_of_each_way(client: ApiClient, tenant: Saga, cursors: tuple[str, str], code: str | None) -> None:
    """Expect this answer to both cursors. A kept cursor is not given to the streams: they would wait for an event."""
    for ways, cursor in zip((FEED_WAYS, TIMELINE_WAYS), cursors, strict=True):
        for what, code_of in ways.items():
            if code or not what.startswith(("a websocket", "a stream")):
                _expect(what, code_of(client, cursor, tenant.id), code)


def _expect(what: str, code: str | None, expected: str | None) -> None:
    assert code == expected, f"V10: {what} answered {code or 'with data'}, expected {expected or 'data'}"


def _pass(harness: ScenarioHarness, tenant: Saga) -> None:
    """Write events until the feed and the tenant's history are longer than they were before the restore."""
    client = harness.owner
    client.retry_until_available("decommissionTenant", tenantId=tenant.id, confirmSlug=tenant.slug)
    _await_end(client, tenant, "DECOMMISSIONED")
    for _ in range(3):
        _await_end(client, harness.create(), "SUCCEEDED")


def _await_end(client: ApiClient, saga: Saga, status: str) -> None:
    until(
        lambda: client.read(saga)["run"]["status"] == status, f"V13: {saga.slug} does not become {status}", within=60.0
    )


def _feed(client: ApiClient) -> list[str]:
    """The cursors of the newest events, oldest first."""
    return [edge["cursor"] for edge in client.execute(PAGE)["auditEvents"]["edges"]][::-1]


def _timeline(client: ApiClient, saga: Saga) -> list[str]:
    (run,) = client.execute(PAGE_OF_RUNS, id=saga.id)["tenant"]["runs"]["edges"]
    return [edge["cursor"] for edge in run["node"]["timeline"]["edges"]]


def _client(client: ApiClient) -> Client:
    return Client(client.testbed.address, f"Bearer {client.token}")


def _subscribed(client: ApiClient, document: str, **variables: object) -> AbstractContextManager[Subscription]:
    return _client(client).subscribed(document, **variables)


def _code_from(subscription: Subscription) -> str | None:
    """The code of the error that the subscription ends with; None if it delivers an event or nothing."""
    try:
        message = subscription.message(within=NOTICED_WITHIN)
    except TimeoutError:
        return None
    return _code_in({"errors": message["payload"]} if message["type"] == "error" else message.get("payload", {}))


def _code_in(response: Facts) -> str | None:
    errors = response.get("errors") or []
    return errors[0]["extensions"]["code"] if errors else None

"""GraphQL over server-sent events: the same operations for clients behind proxies without websockets."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from models import TenantState
from server.graphql import sse
from tests.api import TIMEOUT, Api, Client, Facts, member_identity, running_api, tenant_gid
from tests.http_client import HTTP
from tests.run_harness import RunHarness
from tests.tenant_states import bring_tenant_to
from tests.waiting import wait_until

PROVISIONING = """
subscription Provisioning($id: ID!, $after: String, $follow: Boolean! = false) {
  tenantProvisioning(tenantId: $id, after: $after, follow: $follow) { cursor sequence kind }
}
"""


@contextmanager
def open_stream(
    client: Client, document: str, last: str | None = None, **variables: object
) -> Iterator[httpx.Response]:
    """The response with the stream as its body."""
    headers = {"Authorization": client.authorization or "", "Accept": "text/event-stream"}
    with HTTP.stream(
        "POST",
        f"http://{client.address}/graphql/stream",
        json={"query": document, "variables": variables},
        headers=headers | client.headers | ({"Last-Event-ID": last} if last else {}),
        timeout=TIMEOUT,
    ) as response:
        yield response


@contextmanager
def events_of(
    client: Client, document: str, last: str | None = None, **variables: object
) -> Iterator[Iterator[ServerSentEvent]]:
    with open_stream(client, document, last, **variables) as response:
        assert response.status_code == 200, response.read()
        yield EventSource(response).iter_sse()


def entry_of(event: ServerSentEvent) -> Facts:
    assert event.event == "next"
    (entry,) = event.json()["data"].values()
    assert isinstance(entry, dict)
    return entry


def test_a_finished_run_is_replayed_to_its_end(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    with events_of(owner, PROVISIONING, id=tenant_gid(harness.tenant_id)) as events:
        *entries, end = list(events)

    assert [entry_of(one)["kind"] for one in entries][-1] == "RUN_FINISHED"
    assert [one.id for one in entries] == [entry_of(one)["cursor"] for one in entries]
    assert (end.event, end.data) == ("complete", "")


def test_a_stream_with_last_event_id_continues_after_that_event(harness: RunHarness, owner: Client) -> None:
    harness.create()
    seen: list[ServerSentEvent] = []
    for step in ("allocate_storage", "deploy_workloads", None):
        with events_of(owner, PROVISIONING, seen[-1].id if seen else None, id=tenant_gid(harness.tenant_id)) as events:
            harness.make_moves(until=step)
            seen += list(islice(events, 3))
    with events_of(owner, PROVISIONING, seen[-1].id, id=tenant_gid(harness.tenant_id)) as events:
        seen += [one for one in events if one.event == "next"]

    numbers = [entry["sequence"] for entry in map(entry_of, seen) if entry["sequence"]]
    with events_of(owner, PROVISIONING, id=tenant_gid(harness.tenant_id)) as events:
        assert numbers == [entry_of(one)["sequence"] for one in events if one.event == "next"]


def test_a_cancel_of_a_running_step_is_delivered_live(harness: RunHarness, owner: Client) -> None:
    harness.create()
    with events_of(owner, PROVISIONING, id=tenant_gid(harness.tenant_id)) as events:
        assert entry_of(next(events))["kind"] == "RUN_STARTED"
        harness.make_moves(until="allocate_traffic")
        owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id))
        harness.make_moves()

        kinds = [entry_of(one)["kind"] for one in events if one.event == "next"]

    assert "CANCEL_REQUESTED" in kinds
    assert kinds[-1] == "RUN_FINISHED"


def test_the_audit_feed_can_be_streamed(api: Api, harness: RunHarness, owner: Client) -> None:
    api.await_watchers(0)
    with events_of(owner, "subscription { auditEventAdded { type cursor } }") as events:
        api.await_watchers(1)
        harness.create(start=False)

        first = next(events)

    assert entry_of(first)["type"] == "tenant.created"
    assert first.id == entry_of(first)["cursor"]


def test_a_mutation_can_be_streamed(harness: RunHarness, owner: Client) -> None:
    harness.create()
    cancel = "mutation ($id: ID!) { cancelProvisioning(input: {tenantId: $id}) { alreadyRequested } }"

    with events_of(owner, cancel, id=tenant_gid(harness.tenant_id)) as events:
        result, end = list(events)

    assert entry_of(result) == {"alreadyRequested": False}
    assert end.event == "complete"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: ID!) { tenant(id: $id) { slug } }", "BAD_USER_INPUT"),
        ("subscription ($id: ID!) { tenantProvisioning(tenantId: $id) { kind } }", "BAD_USER_INPUT"),
        ('subscription { tenantProvisioning(tenantId: "x") { kind } }', "NOT_FOUND"),
        ('subscription { auditEventAdded(after: "x") { type } }', "BAD_USER_INPUT"),
    ],
)
def test_an_operation_that_cannot_begin_streams_its_error_and_completes(
    owner: Client, document: str, code: str
) -> None:
    with events_of(owner, document) as events:
        refused, end = list(events)

    assert refused.json()["errors"][0]["extensions"]["code"] == code
    assert end.event == "complete"


def test_lines_of_a_stream_end_with_a_line_feed_alone(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    with open_stream(owner, PROVISIONING, id=tenant_gid(harness.tenant_id)) as response:
        raw = response.read()

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert b"\r" not in raw
    assert raw.endswith(b"event: complete\ndata: \n\n")


def test_an_idle_stream_is_kept_alive_with_comments(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_INTERVAL", 0.05)

    with open_stream(owner, "subscription { auditEventAdded { type } }") as response:
        lines = response.iter_lines()

        assert [next(lines) for _ in range(4)] == [":", "", ":", ""]


def events_by_get(client: Client, document: str) -> list[ServerSentEvent]:
    """Every event of a stream requested by GET, as a browser's EventSource does."""
    with HTTP.stream(
        "GET",
        f"http://{client.address}/graphql/stream",
        params={"query": document},
        headers={"Authorization": client.authorization or ""},
        timeout=TIMEOUT,
    ) as response:
        return list(EventSource(response).iter_sse())


def test_queries_and_subscriptions_can_be_streamed_by_get(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    result, _ = events_by_get(owner, "{ viewer { actor { kind } } }")
    subscription = 'subscription { tenantProvisioning(tenantId: "%s") { kind } }'
    *entries, _ = events_by_get(owner, subscription % tenant_gid(harness.tenant_id))

    assert entry_of(result) == {"actor": {"kind": "USER"}}
    assert entry_of(entries[-1]) == {"kind": "RUN_FINISHED"}


def test_a_mutation_by_get_is_refused_and_changes_nothing(harness: RunHarness, owner: Client) -> None:
    harness.create()
    cancel = 'mutation { cancelProvisioning(input: {tenantId: "%s"}) { run { id } } }'

    refused, end = events_by_get(owner, cancel % tenant_gid(harness.tenant_id))

    (error,) = refused.json()["errors"]
    assert (error["message"], error["extensions"]["code"]) == ("Mutations need POST.", "BAD_REQUEST")
    assert end.event == "complete"
    assert harness.run().cancel_requested is False


def test_a_stream_needs_the_accepted_media_type_and_a_valid_token(owner: Client) -> None:
    owner.headers["Accept"] = "application/json"
    with open_stream(owner, "{ viewer { scopes } }") as wrong:
        assert wrong.status_code == 406
    owner.headers.clear()
    owner.authorization = "Bearer nonsense"
    with open_stream(owner, "{ viewer { scopes } }") as unknown:
        assert unknown.status_code == 401


def test_a_stream_ends_when_its_token_expires(api: Api, harness: RunHarness) -> None:
    client = api.expiring_client(member_identity(harness.organisation.id))

    with events_of(client, "subscription { auditEventAdded { type } }") as events:
        assert list(events) == []


def test_a_client_that_disconnects_leaves_no_watcher(api: Api, harness: RunHarness, owner: Client) -> None:
    with events_of(owner, "subscription { auditEventAdded { type } }"):
        wait_until(lambda: api.services.feed.watchers == 1)

    wait_until(lambda: api.services.feed.watchers == 0)


def test_streams_end_when_the_process_stops(harness: RunHarness) -> None:
    with running_api(harness.settings) as api:
        owner = api.member(harness.organisation.id)
        with events_of(owner, "subscription { auditEventAdded { type } }") as events:
            wait_until(lambda: api.services.feed.watchers == 1)
            api.stop()

            assert list(events) == []

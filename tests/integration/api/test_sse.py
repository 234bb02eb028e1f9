"""GraphQL over Server-Sent Events: the same operations for those whom a proxy denies websockets."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice

import httpx
import pytest
from httpx_sse import EventSource, ServerSentEvent

from models import TenantState
from server.graphql import sse
from tests.api import TIMEOUT, Api, Client, Facts, member_identity, running_api, tenant_gid
from tests.run_harness import RunHarness
from tests.scenarios import bring_tenant_to
from tests.waiting import wait_until

WATCH = """
subscription Watch($id: ID!, $after: String, $follow: Boolean! = false) {
  tenantProvisioning(tenantId: $id, after: $after, follow: $follow) { cursor sequence kind }
}
"""


@contextmanager
def opened(client: Client, document: str, last: str | None = None, **variables: object) -> Iterator[httpx.Response]:
    """The raw stream."""
    headers = {"Authorization": client.authorization or "", "Accept": "text/event-stream"}
    with httpx.stream(
        "POST",
        f"http://{client.address}/graphql/stream",
        json={"query": document, "variables": variables},
        headers=headers | client.headers | ({"Last-Event-ID": last} if last else {}),
        timeout=TIMEOUT,
        trust_env=False,
    ) as response:
        yield response


@contextmanager
def streamed(
    client: Client, document: str, last: str | None = None, **variables: object
) -> Iterator[Iterator[ServerSentEvent]]:
    with opened(client, document, last, **variables) as response:
        assert response.status_code == 200, response.read()
        yield EventSource(response).iter_sse()


def entry_of(event: ServerSentEvent) -> Facts:
    assert event.event == "next"
    (entry,) = event.json()["data"].values()
    assert isinstance(entry, dict)
    return entry


def test_a_settled_run_is_replayed_to_its_end(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    with streamed(owner, WATCH, id=tenant_gid(harness.tenant_id)) as events:
        *entries, end = list(events)

    assert [entry_of(one)["kind"] for one in entries][-1] == "RUN_FINISHED"
    assert [one.id for one in entries] == [entry_of(one)["cursor"] for one in entries]
    assert (end.event, end.data) == ("complete", "")


def test_a_browser_that_comes_back_goes_on_after_the_last_event_it_saw(harness: RunHarness, owner: Client) -> None:
    harness.create()
    seen: list[ServerSentEvent] = []
    for step in ("allocate_storage", "deploy_workloads", None):
        with streamed(owner, WATCH, seen[-1].id if seen else None, id=tenant_gid(harness.tenant_id)) as events:
            harness.make_moves(until=step)
            seen += list(islice(events, 3))
    with streamed(owner, WATCH, seen[-1].id, id=tenant_gid(harness.tenant_id)) as events:
        seen += [one for one in events if one.event == "next"]

    numbers = [entry["sequence"] for entry in map(entry_of, seen) if entry["sequence"]]
    with streamed(owner, WATCH, id=tenant_gid(harness.tenant_id)) as events:
        assert numbers == [entry_of(one)["sequence"] for one in events if one.event == "next"]


def test_a_cancel_in_flight_is_seen_live(harness: RunHarness, owner: Client) -> None:
    harness.create()
    with streamed(owner, WATCH, id=tenant_gid(harness.tenant_id)) as events:
        assert entry_of(next(events))["kind"] == "RUN_STARTED"
        harness.make_moves(until="allocate_traffic")
        owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id))
        harness.make_moves()

        kinds = [entry_of(one)["kind"] for one in events if one.event == "next"]

    assert "CANCEL_REQUESTED" in kinds
    assert kinds[-1] == "RUN_FINISHED"


def test_the_audit_feed_comes_as_a_stream_too(harness: RunHarness, owner: Client) -> None:
    with streamed(owner, "subscription { auditEventAdded { type cursor } }") as events:
        harness.create(start=False)

        first = next(events)

    assert entry_of(first)["type"] == "tenant.created"
    assert first.id == entry_of(first)["cursor"]


def test_questions_and_commands_may_come_as_a_stream(harness: RunHarness, owner: Client) -> None:
    harness.create()
    cancel = "mutation ($id: ID!) { cancelProvisioning(input: {tenantId: $id}) { alreadyRequested } }"

    with streamed(owner, cancel, id=tenant_gid(harness.tenant_id)) as events:
        result, end = list(events)

    assert entry_of(result) == {"alreadyRequested": False}
    assert end.event == "complete"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { tenantProvisioning(tenantId: "x") { kind } }', "NOT_FOUND"),
        ('subscription { auditEventAdded(after: "x") { type } }', "BAD_USER_INPUT"),
    ],
)
def test_what_cannot_begin_says_why_and_is_over(owner: Client, document: str, code: str) -> None:
    with streamed(owner, document) as events:
        refused, end = list(events)

    assert refused.json()["errors"][0]["extensions"]["code"] == code
    assert end.event == "complete"


def test_lines_end_with_a_line_feed_alone(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    with opened(owner, WATCH, id=tenant_gid(harness.tenant_id)) as response:
        raw = response.read()

    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert b"\r" not in raw
    assert raw.endswith(b"event: complete\ndata: \n\n")


def test_a_quiet_stream_is_kept_alive_with_comments(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_INTERVAL", 0.05)

    with opened(owner, "subscription { auditEventAdded { type } }") as response:
        lines = response.iter_lines()

        assert [next(lines) for _ in range(4)] == [":", "", ":", ""]


def got(client: Client, document: str) -> list[ServerSentEvent]:
    """Everything that a stream asked for by GET tells, as a browser's EventSource asks."""
    with httpx.stream(
        "GET",
        f"http://{client.address}/graphql/stream",
        params={"query": document},
        headers={"Authorization": client.authorization or ""},
        timeout=TIMEOUT,
        trust_env=False,
    ) as response:
        return list(EventSource(response).iter_sse())


def test_a_get_works_for_questions_and_subscriptions(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    answered, _ = got(owner, "{ viewer { actor { kind } } }")
    watch = 'subscription { tenantProvisioning(tenantId: "%s") { kind } }'
    *entries, _ = got(owner, watch % tenant_gid(harness.tenant_id))

    assert entry_of(answered) == {"actor": {"kind": "USER"}}
    assert entry_of(entries[-1]) == {"kind": "RUN_FINISHED"}


def test_a_mutation_by_get_is_refused_and_changes_nothing(harness: RunHarness, owner: Client) -> None:
    harness.create()
    cancel = 'mutation { cancelProvisioning(input: {tenantId: "%s"}) { run { id } } }'

    refused, end = got(owner, cancel % tenant_gid(harness.tenant_id))

    assert "mutations are not allowed" in refused.data
    assert end.event == "complete"
    assert harness.run().cancel_requested is False


def test_who_takes_no_event_stream_or_shows_no_token_gets_none(owner: Client) -> None:
    owner.headers["Accept"] = "application/json"
    with opened(owner, "{ viewer { scopes } }") as wrong:
        assert wrong.status_code == 406
    owner.headers.clear()
    owner.authorization = "Bearer nonsense"
    with opened(owner, "{ viewer { scopes } }") as unknown:
        assert unknown.status_code == 401


def test_a_stream_ends_when_its_token_does(api: Api, harness: RunHarness) -> None:
    brief = api.client(member_identity(harness.organisation.id), timedelta(seconds=1.5))

    with streamed(brief, "subscription { auditEventAdded { type } }") as events:
        assert list(events) == []


def test_who_leaves_leaves_nothing_behind(api: Api, harness: RunHarness, owner: Client) -> None:
    with streamed(owner, "subscription { auditEventAdded { type } }"):
        wait_until(lambda: api.services.feed.watchers == 1)

    wait_until(lambda: api.services.feed.watchers == 0)


def test_streams_end_when_the_process_stops(harness: RunHarness) -> None:
    with running_api(harness.settings) as going:
        owner = going.member(harness.organisation.id)
        with streamed(owner, "subscription { auditEventAdded { type } }") as events:
            wait_until(lambda: going.services.feed.watchers == 1)
            going.stop()

            assert list(events) == []

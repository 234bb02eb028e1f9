"""The subscription tenantProvisioning delivers each timeline entry once and in order, replayed or live."""

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from models import Role, RunStep, StepStatus, TenantState
from models.columns import new_id
from provisioning import audit_feed, feed_marks
from provisioning.anchors import Anchor
from provisioning.event_types import EventType
from provisioning.events import FEED_CHANNEL
from provisioning.step_journal import DatabaseJournal
from resolvers.subscriptions import PROGRESS_INTERVAL
from runtime import feed
from runtime.database import Statements
from runtime.row_level_security import API_ROLE, LIMITED_ROLE, MANAGER_ROLE
from schema.node import global_id
from tests.api import PROTOCOL, TIMEOUT, Api, Client, Facts, Subscription, tenant_gid
from tests.run_harness import RunHarness
from tests.tenant_states import bring_tenant_to
from tests.waiting import wait_until

PROVISIONING = """
subscription Provisioning($id: ID!, $after: String, $follow: Boolean! = false) {
  tenantProvisioning(tenantId: $id, after: $after, follow: $follow) {
    id cursor sequence kind step message occurredAt run { number status tenant { state } }
  }
}
"""


@contextmanager
def subscribed_to(client: Client, harness: RunHarness, **more: object) -> Iterator[Subscription]:
    with client.subscribed(PROVISIONING, id=tenant_gid(harness.tenant_id), **more) as subscription:
        yield subscription


def timeline_numbers(harness: RunHarness, after: int = 0) -> list[int | None]:
    """The sequence numbers of the tenant's timeline entries in the database."""
    return [
        event.sequence
        for event in harness.events()
        if event.run_id is not None and event.type in audit_feed.TIMELINE and (event.sequence or 0) > after
    ]


def numbers(entries: list[Facts]) -> list[int]:
    return [entry["sequence"] for entry in entries if entry["kind"] != "STEP_PROGRESS"]


def kinds_and_steps(entries: list[Facts]) -> list[str]:
    return [f"{entry['kind']} {entry['step'] or ''}".strip() for entry in entries if entry["kind"] != "STEP_PROGRESS"]


def test_a_finished_run_is_replayed_to_its_end(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    with subscribed_to(owner, harness) as subscription:
        entries = subscription.until_complete()

    assert numbers(entries) == timeline_numbers(harness)
    assert kinds_and_steps(entries)[:3] == [
        "RUN_STARTED",
        "STEP_STARTED validate_request",
        "STEP_SUCCEEDED validate_request",
    ]
    assert kinds_and_steps(entries)[-1] == "RUN_FINISHED"
    assert entries[-1]["run"] == {"number": 1, "status": "SUCCEEDED", "tenant": {"state": "ACTIVE"}}


def test_a_cancel_of_a_running_step_is_delivered_live_with_that_step_compensated_first(
    harness: RunHarness, owner: Client
) -> None:
    harness.create()
    with subscribed_to(owner, harness) as subscription:
        assert subscription.next()["kind"] == "RUN_STARTED"
        harness.make_moves(until="allocate_traffic")
        claim = harness.claim()
        owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id), reason="wrong plan")
        harness.record_failure(claim, InterruptedError())
        harness.make_moves()
        entries = subscription.until_complete()

    assert numbers(entries) == timeline_numbers(harness)[1:]
    assert kinds_and_steps(entries)[-12:] == [
        "STEP_STARTED allocate_traffic",
        "CANCEL_REQUESTED",
        "STEP_INTERRUPTED allocate_traffic",
        "COMPENSATION_STARTED allocate_traffic",
        "STEP_COMPENSATED allocate_traffic",
        "COMPENSATION_STARTED allocate_identity",
        "STEP_COMPENSATED allocate_identity",
        "COMPENSATION_STARTED allocate_storage",
        "STEP_COMPENSATED allocate_storage",
        "COMPENSATION_STARTED validate_request",
        "STEP_COMPENSATED validate_request",
        "RUN_FINISHED",
    ]
    assert entries[-1]["run"] == {"number": 1, "status": "CANCELLED", "tenant": {"state": "PENDING"}}
    assert entries[-1]["message"] == "The run was cancelled. 5 resources were released and nothing is held."


def test_every_entry_shows_its_run_as_it_is_at_delivery(harness: RunHarness, owner: Client) -> None:
    harness.create()
    with subscribed_to(owner, harness) as subscription:
        first = subscription.next()
        harness.make_moves(until="allocate_storage")
        second = subscription.next()

    assert first["run"]["status"] == "QUEUED"
    assert second["run"]["status"] == "RUNNING"


def test_a_subscription_resumed_with_a_cursor_has_no_gap_and_no_repeat(harness: RunHarness, owner: Client) -> None:
    harness.create()
    seen: list[Facts] = []
    for step in ("allocate_storage", "allocate_traffic", "deploy_workloads", None):
        with subscribed_to(owner, harness, after=seen[-1]["cursor"] if seen else None) as subscription:
            harness.make_moves(until=step)
            wanted = len(timeline_numbers(harness)) - len(seen)
            seen += subscription.entries(wanted)

    assert numbers(seen) == timeline_numbers(harness)
    assert len({entry["id"] for entry in seen}) == len(seen)


def test_a_subscription_resumed_after_the_last_entry_completes_at_once(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    with subscribed_to(owner, harness) as subscription:
        last = subscription.until_complete()[-1]

    with subscribed_to(owner, harness, after=last["cursor"]) as subscription:
        assert subscription.until_complete() == []


def test_a_subscription_to_a_tenant_without_runs_completes_at_once(harness: RunHarness, owner: Client) -> None:
    harness.create(start=False)

    with subscribed_to(owner, harness) as subscription:
        assert subscription.until_complete() == []


def test_a_subscription_without_a_cursor_delivers_only_the_newest_run(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.FAILED)
    harness.retry()
    harness.make_moves()

    with subscribed_to(owner, harness) as subscription:
        entries = subscription.until_complete()

    assert {entry["run"]["number"] for entry in entries} == {2}
    assert (
        numbers(entries)
        == [event.sequence for event in harness.events() if event.run_id == harness.run(2).id][: len(entries)]
    )


def test_a_subscription_with_follow_delivers_the_next_run_too(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.FAILED)
    with subscribed_to(owner, harness, follow=True) as subscription:
        first = subscription.entries(len(timeline_numbers(harness)))
        harness.retry()
        harness.make_moves()
        second = subscription.entries(len(timeline_numbers(harness)) - len(first))
        subscription.send(id="1", type="complete")

    assert numbers(first + second) == timeline_numbers(harness)
    assert kinds_and_steps(first)[-1] == kinds_and_steps(second)[-1] == "RUN_FINISHED"


def test_a_decommissioning_is_delivered_like_any_run(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.DECOMMISSIONING)
    with subscribed_to(owner, harness) as subscription:
        harness.make_moves()
        entries = subscription.until_complete()

    assert kinds_and_steps(entries)[0] == "RUN_STARTED"
    assert kinds_and_steps(entries)[1:3] == ["COMPENSATION_STARTED await_readiness", "STEP_COMPENSATED await_readiness"]
    assert entries[-1]["run"] == {"number": 2, "status": "DECOMMISSIONED", "tenant": {"state": "DECOMMISSIONED"}}


def test_progress_is_delivered_live_without_a_number_and_is_never_replayed(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    claim = harness.claim()
    with subscribed_to(owner, harness) as early:
        replayed = [early.next() for _ in timeline_numbers(harness)]
        DatabaseJournal(harness.database, harness.settings, claim).progress(40, "Table 2 of 5")
        entry = early.next()
        with subscribed_to(owner, harness) as late:
            assert [late.next()["kind"] for _ in timeline_numbers(harness)] == [entry["kind"] for entry in replayed]
            harness.record(claim, harness.perform(claim))
            assert late.next()["kind"] == "STEP_SUCCEEDED"

    assert (entry["kind"], entry["step"], entry["sequence"]) == ("STEP_PROGRESS", "apply_schema", None)
    assert entry["message"] == "Apply the schema: Table 2 of 5"
    assert entry["cursor"] == replayed[-1]["cursor"]


def test_a_heartbeat_of_a_step_without_progress_is_delivered_as_progress(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    claim = harness.claim()
    with subscribed_to(owner, harness) as subscription:
        replayed = [subscription.next() for _ in timeline_numbers(harness)]
        harness.transact(renew_heartbeat, claim.run_id, after=timedelta(seconds=5))
        heartbeat = subscription.next()
        harness.record(claim, harness.perform(claim))
        following = subscription.next()

    assert (heartbeat["kind"], heartbeat["step"], heartbeat["sequence"]) == ("STEP_PROGRESS", "apply_schema", None)
    assert heartbeat["message"] == "Apply the schema: still running."
    assert heartbeat["cursor"] == replayed[-1]["cursor"]
    assert following["kind"] == "STEP_SUCCEEDED"


def renew_heartbeat(session: Session, run_id: UUID, after: timedelta) -> None:
    """Renew the heartbeat as a worker does, ``after`` the attempt's start. It notifies no watcher: they poll."""
    session.execute(
        update(RunStep)
        .where(col(RunStep.run_id) == run_id, col(RunStep.status) == StepStatus.RUNNING)
        .values(heartbeat_at=col(RunStep.attempt_started_at) + after)
        .execution_options(synchronize_session=False)
    )


def test_progress_is_delivered_at_most_four_times_a_second_and_ends_with_the_newest(
    harness: RunHarness, owner: Client
) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    claim = harness.claim()
    with subscribed_to(owner, harness) as subscription:
        assert [subscription.next() for _ in timeline_numbers(harness)]
        began = time.monotonic()
        for percent in range(1, 100):
            DatabaseJournal(harness.database, harness.settings, claim).progress(percent, f"{percent} of 99")
        entries = [subscription.next()]
        while entries[-1]["message"] != "Apply the schema: 99 of 99":
            entries.append(subscription.next())
        took = time.monotonic() - began

    times = [entry["occurredAt"] for entry in entries]
    assert len(entries) <= 1 + took / PROGRESS_INTERVAL
    assert times == sorted(times)


def test_an_entry_without_a_notification_is_delivered_by_the_poll(
    api: Api, harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.create()
    with subscribed_to(owner, harness) as subscription:
        assert subscription.next()["kind"] == "RUN_STARTED"
        monkeypatch.setattr(api.services.feed, "notify", lambda _: None)
        harness.make_moves(until="allocate_storage")
        assert [subscription.next()["kind"] for _ in range(2)] == ["STEP_STARTED", "STEP_SUCCEEDED"]


def test_a_subscription_continues_after_the_database_was_unreachable(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_timeline = audit_feed.read_timeline
    failures = iter([OperationalError("SELECT", {}, Exception("connection refused"))])

    def read_or_fail(session: Session, tenant_id: UUID, after: Anchor) -> audit_feed.TimelinePage:
        if failure := next(failures, None):
            raise failure
        return read_timeline(session, tenant_id, after)

    bring_tenant_to(harness, TenantState.ACTIVE)
    monkeypatch.setattr(audit_feed, "read_timeline", read_or_fail)

    with subscribed_to(owner, harness) as subscription:
        assert numbers(subscription.until_complete()) == timeline_numbers(harness)


def test_the_change_feed_listens_again_after_its_connection_was_terminated(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    harness.create()
    with subscribed_to(owner, harness) as subscription:
        assert subscription.next()["kind"] == "RUN_STARTED"
        with psycopg.connect(harness.settings.database_url, autocommit=True) as connection:
            terminate = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tenantry-feed'"
            )
            wait_until(lambda: connection.execute(terminate).fetchall())
            harness.make_moves(until="allocate_storage")
            assert [subscription.next()["kind"] for _ in range(2)] == ["STEP_STARTED", "STEP_SUCCEEDED"]
            listening = sql.SQL("SELECT count(*) FROM pg_stat_activity WHERE query = {}").format(
                sql.Literal(f'LISTEN "{FEED_CHANNEL}"')
            )
            wait_until(lambda: connection.execute(listening).fetchone() == (1,))


def test_fifty_subscriptions_to_one_tenant_deliver_every_entry_and_leave_no_watcher(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    harness.create()
    api.await_watchers(0)
    with ExitStack() as stack:
        subscriptions = [stack.enter_context(subscribed_to(owner, harness)) for _ in range(50)]
        api.await_watchers(50)
        with ThreadPoolExecutor(50) as pool:
            delivered = [pool.submit(subscription.until_complete) for subscription in subscriptions]
            harness.make_moves()
        assert all(numbers(entries.result()) == timeline_numbers(harness) for entries in delivered)

    api.await_watchers(0, within=2)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """The role of each read of a subscription, and the types of the events that it found."""
    made: list[tuple[str, list[str]]] = []
    original = audit_feed.read_timeline

    def read_timeline(session: Session, tenant_id: UUID, after: Anchor) -> audit_feed.TimelinePage:
        role = str(session.scalar(select(func.current_setting("role"))))
        page = original(session, tenant_id, after)
        made.append((role, [entry.type for entry in page.entries]))
        return page

    monkeypatch.setattr(audit_feed, "read_timeline", read_timeline)
    return made


def test_watchers_that_see_the_same_rows_share_the_read_of_an_event(
    api: Api, harness: RunHarness, owner: Client, reads: list[tuple[str, list[str]]]
) -> None:
    harness.create()
    api.await_watchers(0)
    viewer = api.member(harness.organisation.id, Role.VIEWER)
    limited = api.service_account(harness.organisation.id, "tenants:read", only={harness.tenant_id})
    with ExitStack() as stack:
        watching = [
            stack.enter_context(subscribed_to(client, harness)) for client in [*[owner, viewer] * 10, limited, limited]
        ]
        assert {subscription.next()["kind"] for subscription in watching} == {"RUN_STARTED"}
        harness.claim()
        assert {subscription.next()["kind"] for subscription in watching} == {"STEP_STARTED"}

    of_the_event = Counter(role for role, types in reads if types == [EventType.STEP_STARTED])
    assert set(of_the_event) == {MANAGER_ROLE, API_ROLE, LIMITED_ROLE}
    assert of_the_event.total() <= 7, "22 watchers, with three roles"


def test_watchers_of_what_does_not_change_read_nothing(
    api: Api,
    harness: RunHarness,
    owner: Client,
    reads: list[tuple[str, list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polls: list[int] = []
    original = feed_marks.read_marks

    def read_marks(statements: Statements, ids: Collection[UUID]) -> Mapping[str, str | None]:
        polls.append(len(ids))
        return original(statements, ids)

    def await_polls(count: int) -> None:
        before = len(polls)
        wait_until(lambda: len(polls) >= before + count)

    monkeypatch.setattr(feed, "POLL_EVERY", 0.02)
    monkeypatch.setattr(feed_marks, "read_marks", read_marks)
    bring_tenant_to(harness, TenantState.ACTIVE)
    api.await_watchers(0)
    with ExitStack() as stack:
        for _ in range(5):
            watching = stack.enter_context(subscribed_to(owner, harness, follow=True))
            watching.entries(len(timeline_numbers(harness)))
        await_polls(20)  # the first has woken all of them
        before = len(reads)
        await_polls(10)
        assert len(reads) == before
    assert set(polls[-10:]) == {1}, "one statement for the tenant, whatever the number of its watchers"


@pytest.mark.parametrize("ending", ["complete message", "websocket close", "TCP close"])
def test_the_watcher_of_an_ended_subscription_is_removed_within_two_seconds(
    api: Api, harness: RunHarness, owner: Client, ending: str
) -> None:
    harness.create()
    api.await_watchers(0)
    with subscribed_to(owner, harness) as subscription:
        subscription.next()
        assert api.services.feed.watchers == 1
        match ending:
            case "complete message":
                subscription.send(id="1", type="complete")
            case "websocket close":
                subscription.socket.close()
            case _:
                subscription.socket.socket.close()
        api.await_watchers(0, within=2)


def test_each_subscription_that_is_refused_has_its_error_code(
    api: Api, harness: RunHarness, other: RunHarness, owner: Client
) -> None:
    other.create()
    auditor = api.service_account(harness.organisation.id, "audit:read")
    harness.create()
    refusals: list[tuple[Client, Facts, str]] = [
        (owner, {"id": tenant_gid(other.tenant_id)}, "NOT_FOUND"),
        (owner, {"id": tenant_gid(new_id())}, "NOT_FOUND"),
        (owner, {"id": global_id("ProvisioningRun", harness.tenant_id)}, "NOT_FOUND"),
        (owner, {"id": tenant_gid(harness.tenant_id), "after": "nonsense"}, "BAD_USER_INPUT"),
        (auditor, {"id": tenant_gid(harness.tenant_id)}, "FORBIDDEN"),
    ]

    for client, variables, code in refusals:
        with client.subscribed(PROVISIONING, **variables) as subscription:
            message = subscription.message()
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == code, message


@pytest.mark.parametrize("document", ["query ($id: ID!) { tenant(id: $id) { slug } }", PROVISIONING])
def test_a_variable_that_is_missing_on_a_websocket_has_the_same_code_as_over_http(owner: Client, document: str) -> None:
    with owner.subscribed(document) as subscription:
        message = subscription.message()

    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    assert errors[0]["extensions"]["code"] == "BAD_USER_INPUT", message


def test_an_invalid_document_ends_its_operation_and_not_the_connection(owner: Client) -> None:
    with owner.connected() as socket:
        subscription = Subscription(socket)
        subscription.send(id="a", type="subscribe", payload={"query": "subscription {"})
        assert subscription.message()["payload"][0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
        subscription.send(id="b", type="subscribe", payload={"query": "{ nothing }"})
        assert subscription.message()["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        subscription.send(id="c", type="subscribe", payload={"query": "{ viewer { actor { kind } } }"})
        assert subscription.message()["payload"] == {"data": {"viewer": {"actor": {"kind": "USER"}}}}
        assert subscription.message() == {"id": "c", "type": "complete"}


def test_each_query_over_one_websocket_reads_the_current_state(harness: RunHarness, owner: Client) -> None:
    harness.create()
    document = "query State($id: ID!) { tenant(id: $id) { state } }"
    states = []
    with owner.connected() as socket:
        subscription = Subscription(socket)
        for name in ("before", "after"):
            variables = {"id": tenant_gid(harness.tenant_id)}
            subscription.send(id=name, type="subscribe", payload={"query": document, "variables": variables})
            states.append(subscription.next()["state"])
            assert subscription.message()["type"] == "complete"
            harness.make_moves()

    assert states == ["PROVISIONING", "ACTIVE"]


def subscribe(id: object = "1", **payload: object) -> str:
    return json.dumps({"type": "subscribe", "id": id, "payload": {"query": "{ viewer { scopes } }", **payload}})


INVALID_VALUES: Facts = {
    "id": [None, "", 1, [], {}],
    "query": [None, 5, []],
    "variables": [5, [1], "x"],
    "extensions": [5, []],
    "operationName": [5, []],
}


@pytest.mark.parametrize(
    "frame",
    [
        "[]",
        "null",
        '"x"',
        "{",
        "{}",
        '{"type": "sing"}',
        '{"type": []}',
        json.dumps({"type": "sing " * 100}),
        json.dumps({"type": "\ud800" * 100}),
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "subscribe", "id": "1", "payload": []}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "complete"}',
        '{"type": "complete", "id": []}',
        '{"type": "complete", "id": {}}',
        *(subscribe(**{name: value}) for name, values in INVALID_VALUES.items() for value in values),
        "[" * 60_000,
        '{"type": ' + "9" * 5000 + "}",
    ],
    ids=lambda frame: frame[:60],
)
def test_an_invalid_message_closes_the_websocket_with_4400(owner: Client, frame: str) -> None:
    with owner.connected() as socket:
        socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400


def test_an_operation_id_in_use_closes_the_websocket_with_4409_even_if_it_is_long(
    harness: RunHarness, owner: Client
) -> None:
    harness.create()
    payload = {"query": PROVISIONING, "variables": {"id": tenant_gid(harness.tenant_id), "follow": True}}
    with owner.connected() as socket:
        for _ in range(2):
            socket.send(json.dumps({"type": "subscribe", "id": "é" * 200, "payload": payload}))
        with pytest.raises(ConnectionClosed) as closed:
            list(socket)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409


def test_a_websocket_without_connection_init_is_closed_with_4408(api: Api) -> None:
    with (
        connect(f"ws://{api.address}/graphql", subprotocols=[PROTOCOL], proxy=None) as socket,
        pytest.raises(ConnectionClosed) as closed,
    ):
        socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4408

"""Whoever watches a provisioning sees each entry once and in order: from the beginning, from a cursor, and live."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from models import RunStep, StepStatus, TenantState
from models.columns import new_id
from provisioning import audit_feed
from provisioning.events import FEED_CHANNEL
from provisioning.step_journal import _publish
from schema.node import global_id
from tests.api import PROTOCOL, TIMEOUT, Api, Client, Facts, Subscription, tenant_gid
from tests.run_harness import RunHarness
from tests.scenarios import bring_tenant_to
from tests.waiting import wait_until

WATCH = """
subscription Watch($id: ID!, $after: String, $follow: Boolean! = false) {
  tenantProvisioning(tenantId: $id, after: $after, follow: $follow) {
    id cursor sequence kind step message occurredAt run { number status tenant { state } }
  }
}
"""


@contextmanager
def watching(client: Client, harness: RunHarness, **more: object) -> Iterator[Subscription]:
    with client.subscribed(WATCH, id=tenant_gid(harness.tenant_id), **more) as subscription:
        yield subscription


def told(harness: RunHarness, after: int = 0) -> list[int | None]:
    """Numbers of the stage's timeline entries, from the rows themselves."""
    return [
        event.sequence
        for event in harness.events()
        if event.run_id is not None and event.type in audit_feed.TIMELINE and (event.sequence or 0) > after
    ]


def numbers(entries: list[Facts]) -> list[int]:
    return [entry["sequence"] for entry in entries if entry["kind"] != "STEP_PROGRESS"]


def lines(entries: list[Facts]) -> list[str]:
    return [f"{entry['kind']} {entry['step'] or ''}".strip() for entry in entries if entry["kind"] != "STEP_PROGRESS"]


def test_a_settled_run_is_replayed_to_its_end(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)

    with watching(owner, harness) as subscription:
        entries = subscription.until_complete()

    assert numbers(entries) == told(harness)
    assert lines(entries)[:3] == ["RUN_STARTED", "STEP_STARTED validate_request", "STEP_SUCCEEDED validate_request"]
    assert lines(entries)[-1] == "RUN_FINISHED"
    assert entries[-1]["run"] == {"number": 1, "status": "SUCCEEDED", "tenant": {"state": "ACTIVE"}}


def test_a_cancel_in_flight_is_seen_live_the_interrupted_step_undone_first(harness: RunHarness, owner: Client) -> None:
    harness.create()
    with watching(owner, harness) as subscription:
        assert subscription.next()["kind"] == "RUN_STARTED"
        harness.make_moves(until="allocate_traffic")
        claim = harness.claim()
        owner.mutate("cancelProvisioning", tenantId=tenant_gid(harness.tenant_id), reason="wrong plan")
        harness.record_failure(claim, InterruptedError())
        harness.make_moves()
        entries = subscription.until_complete()

    assert numbers(entries) == told(harness)[1:]
    assert lines(entries)[-12:] == [
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
    assert entries[-1]["message"] == "The run was cancelled. 4 resources were released and nothing is held."


def test_every_event_shows_its_run_as_it_is_then_and_not_as_it_was_first_read(
    harness: RunHarness, owner: Client
) -> None:
    harness.create()
    with watching(owner, harness) as subscription:
        first = subscription.next()
        harness.make_moves(until="allocate_storage")
        second = subscription.next()

    assert first["run"]["status"] == "QUEUED"
    assert second["run"]["status"] == "RUNNING"


def test_a_cut_stream_goes_on_where_it_was_without_gap_or_repeat(harness: RunHarness, owner: Client) -> None:
    harness.create()
    seen: list[Facts] = []
    for step in ("allocate_storage", "allocate_traffic", "deploy_workloads", None):
        with watching(owner, harness, after=seen[-1]["cursor"] if seen else None) as subscription:
            harness.make_moves(until=step)
            wanted = len(told(harness)) - len(seen)
            seen += subscription.entries(wanted)

    assert numbers(seen) == told(harness)
    assert len({entry["id"] for entry in seen}) == len(seen)


def test_resuming_behind_the_end_completes_at_once(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.ACTIVE)
    with watching(owner, harness) as subscription:
        last = subscription.until_complete()[-1]

    with watching(owner, harness, after=last["cursor"]) as subscription:
        assert subscription.until_complete() == []


def test_a_tenant_that_never_had_a_run_completes_at_once(harness: RunHarness, owner: Client) -> None:
    harness.create(start=False)

    with watching(owner, harness) as subscription:
        assert subscription.until_complete() == []


def test_without_a_cursor_the_newest_run_is_shown_and_no_other(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.FAILED)
    harness.retry()
    harness.make_moves()

    with watching(owner, harness) as subscription:
        entries = subscription.until_complete()

    assert {entry["run"]["number"] for entry in entries} == {2}
    assert (
        numbers(entries)
        == [event.sequence for event in harness.events() if event.run_id == harness.run(2).id][: len(entries)]
    )


def test_who_follows_stays_for_the_next_run(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.FAILED)
    with watching(owner, harness, follow=True) as subscription:
        first = subscription.entries(len(told(harness)))
        harness.retry()
        harness.make_moves()
        second = subscription.entries(len(told(harness)) - len(first))
        subscription.send(id="1", type="complete")

    assert numbers(first + second) == told(harness)
    assert lines(first)[-1] == lines(second)[-1] == "RUN_FINISHED"


def test_a_decommissioning_is_watched_like_any_run(harness: RunHarness, owner: Client) -> None:
    bring_tenant_to(harness, TenantState.DECOMMISSIONING)
    with watching(owner, harness) as subscription:
        harness.make_moves()
        entries = subscription.until_complete()

    assert lines(entries)[0] == "RUN_STARTED"
    assert lines(entries)[1:3] == ["COMPENSATION_STARTED await_readiness", "STEP_COMPENSATED await_readiness"]
    assert entries[-1]["run"] == {"number": 2, "status": "DECOMMISSIONED", "tenant": {"state": "DECOMMISSIONED"}}


def test_progress_comes_live_is_not_numbered_and_is_never_replayed(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    claim = harness.claim()
    with watching(owner, harness) as early:
        replayed = [early.next() for _ in told(harness)]
        harness.transact(_publish, claim, 40, "Table 2 of 5")
        entry = early.next()
        with watching(owner, harness) as late:
            assert [late.next()["kind"] for _ in told(harness)] == [entry["kind"] for entry in replayed]
            harness.record(claim, harness.perform(claim))
            assert late.next()["kind"] == "STEP_SUCCEEDED"

    assert (entry["kind"], entry["step"], entry["sequence"]) == ("STEP_PROGRESS", "apply_schema", None)
    assert entry["message"] == "Apply the schema: Table 2 of 5"
    assert entry["cursor"] == replayed[-1]["cursor"]


def test_a_quiet_step_that_is_at_work_gives_a_sign_of_life(harness: RunHarness, owner: Client) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    claim = harness.claim()
    with watching(owner, harness) as subscription:
        replayed = [subscription.next() for _ in told(harness)]
        harness.transact(renew, claim.run_id, after=timedelta(seconds=5))
        sign = subscription.next()
        harness.record(claim, harness.perform(claim))
        following = subscription.next()

    assert (sign["kind"], sign["step"], sign["sequence"]) == ("STEP_PROGRESS", "apply_schema", None)
    assert sign["message"] == "Apply the schema: still running."
    assert sign["cursor"] == replayed[-1]["cursor"]
    assert following["kind"] == "STEP_SUCCEEDED"


def renew(session: Session, run_id: UUID, after: timedelta) -> None:
    """As a worker does so long after it began. It wakes nobody: watchers look by themselves."""
    session.execute(
        update(RunStep)
        .where(col(RunStep.run_id) == run_id, col(RunStep.status) == StepStatus.RUNNING)
        .values(heartbeat_at=col(RunStep.attempt_started_at) + after)
        .execution_options(synchronize_session=False)
    )


def test_progress_is_told_at_most_four_times_a_second_and_ends_with_the_newest(
    harness: RunHarness, owner: Client
) -> None:
    harness.create()
    harness.make_moves(until="apply_schema")
    claim = harness.claim()
    with watching(owner, harness) as subscription:
        assert [subscription.next() for _ in told(harness)]
        for percent in range(1, 100):
            harness.transact(_publish, claim, percent, f"{percent} of 99")
        entries = [subscription.next()]
        while entries[-1]["message"] != "Apply the schema: 99 of 99":
            entries.append(subscription.next())

    moments = [entry["occurredAt"] for entry in entries]
    assert len(entries) < 50
    assert moments == sorted(moments)


def test_what_is_written_while_nobody_listens_comes_by_the_poll(
    api: Api, harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.create()
    with watching(owner, harness) as subscription:
        assert subscription.next()["kind"] == "RUN_STARTED"
        monkeypatch.setattr(api.services.feed, "notify", lambda _: None)
        harness.make_moves(until="allocate_storage")
        assert [subscription.next()["kind"] for _ in range(2)] == ["STEP_STARTED", "STEP_SUCCEEDED"]


def test_who_watches_goes_on_after_the_database_was_away(
    harness: RunHarness, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, failures = (
        audit_feed.read_timeline,
        iter([OperationalError("SELECT", {}, Exception("connection refused"))]),
    )

    def look(session: Session, tenant_id: UUID, after: int) -> audit_feed.TimelinePage:
        if failure := next(failures, None):
            raise failure
        return genuine(session, tenant_id, after)

    bring_tenant_to(harness, TenantState.ACTIVE)
    monkeypatch.setattr(audit_feed, "read_timeline", look)

    with watching(owner, harness) as subscription:
        assert numbers(subscription.until_complete()) == told(harness)


def test_the_feed_listens_again_after_its_connection_was_cut(api: Api, harness: RunHarness, owner: Client) -> None:
    harness.create()
    with watching(owner, harness) as subscription:
        assert subscription.next()["kind"] == "RUN_STARTED"
        with psycopg.connect(harness.settings.database_url, autocommit=True) as connection:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tenantry-feed'"
            assert connection.execute(cut).fetchall()
            harness.make_moves(until="allocate_storage")
            assert [subscription.next()["kind"] for _ in range(2)] == ["STEP_STARTED", "STEP_SUCCEEDED"]
            listening = sql.SQL("SELECT count(*) FROM pg_stat_activity WHERE query = {}").format(
                sql.Literal(f'LISTEN "{FEED_CHANNEL}"')
            )
            wait_until(lambda: connection.execute(listening).fetchone() == (1,))


def test_fifty_watchers_of_one_tenant_all_see_everything_and_leave_nothing(
    api: Api, harness: RunHarness, owner: Client
) -> None:
    harness.create()
    api.await_watchers(0)
    with ExitStack() as stack:
        subscriptions = [stack.enter_context(watching(owner, harness)) for _ in range(50)]
        api.await_watchers(50)
        with ThreadPoolExecutor(50) as pool:
            seen = [pool.submit(subscription.until_complete) for subscription in subscriptions]
            harness.make_moves()
        assert all(numbers(entries.result()) == told(harness) for entries in seen)

    api.await_watchers(0, within=2)


@pytest.mark.parametrize("farewell", ["complete", "close", "cut"])
def test_whoever_leaves_is_forgotten_within_two_seconds(
    api: Api, harness: RunHarness, owner: Client, farewell: str
) -> None:
    harness.create()
    api.await_watchers(0)
    with watching(owner, harness) as subscription:
        subscription.next()
        assert api.services.feed.watchers == 1
        match farewell:
            case "complete":
                subscription.send(id="1", type="complete")
            case "close":
                subscription.socket.close()
            case _:
                subscription.socket.socket.close()
        api.await_watchers(0, within=2)


def test_what_cannot_be_watched_is_an_error_of_its_own(
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
        with client.subscribed(WATCH, **variables) as subscription:
            message = subscription.message()
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == code, message


def test_a_document_that_does_not_parse_ends_its_operation_and_not_the_connection(owner: Client) -> None:
    with owner.connected() as socket:
        subscription = Subscription(socket)
        subscription.send(id="a", type="subscribe", payload={"query": "subscription {"})
        assert subscription.message()["payload"][0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
        subscription.send(id="b", type="subscribe", payload={"query": "{ nothing }"})
        assert subscription.message()["payload"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        subscription.send(id="c", type="subscribe", payload={"query": "{ viewer { actor { kind } } }"})
        assert subscription.message()["payload"] == {"data": {"viewer": {"actor": {"kind": "USER"}}}}
        assert subscription.message() == {"id": "c", "type": "complete"}


def test_queries_over_one_socket_read_afresh_each_time(harness: RunHarness, owner: Client) -> None:
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


ODD: Facts = {
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
        *(subscribe(**{name: value}) for name, values in ODD.items() for value in values),
        "[" * 60_000,
        '{"type": ' + "9" * 5000 + "}",
    ],
    ids=lambda frame: frame[:60],
)
def test_a_frame_that_is_no_message_closes_cleanly(owner: Client, frame: str) -> None:
    with owner.connected() as socket:
        socket.send(frame)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400


def test_an_id_in_use_closes_cleanly_however_long_it_is(harness: RunHarness, owner: Client) -> None:
    harness.create()
    watch = {"query": WATCH, "variables": {"id": tenant_gid(harness.tenant_id), "follow": True}}
    with owner.connected() as socket:
        for _ in range(2):
            socket.send(json.dumps({"type": "subscribe", "id": "é" * 200, "payload": watch}))
        with pytest.raises(ConnectionClosed) as closed:
            list(socket)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409


def test_the_old_protocol_is_not_spoken(api: Api) -> None:
    with (
        connect(f"ws://{api.address}/graphql", subprotocols=[Subprotocol("graphql-ws")], proxy=None) as socket,
        pytest.raises(ConnectionClosed) as closed,
    ):
        socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4406


def test_who_does_not_introduce_itself_is_closed_soon(api: Api) -> None:
    with (
        connect(f"ws://{api.address}/graphql", subprotocols=[PROTOCOL], proxy=None) as socket,
        pytest.raises(ConnectionClosed) as closed,
    ):
        socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4408


def test_a_message_above_the_limit_closes_the_socket(owner: Client) -> None:
    with owner.connected() as socket:
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": "#" * 300_000}}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009

"""Scenarios of followers of timelines and feed: no gap, no duplicate, no leaked resources."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session

from provisioning import commands
from provisioning.commands import Corrections
from provisioning.event_types import EventType
from provisioning.events import emit_for_organisation
from runtime.database import Database
from tests.api import Facts
from tests.conformance.field.abrupt_client import AbruptClient
from tests.conformance.field.api_clients import ApiClient, Saga, uuid_of
from tests.conformance.field.failpoint_controller import until
from tests.conformance.field.follower import MAX_SILENCE, Follower
from tests.conformance.field.invariant_checker import nodes
from tests.conformance.field.scenario import ScenarioHarness, scenario
from tests.conformance.field.testbed import Options

FOLLOW_ONE = """
    subscription W($id: ID!, $after: String) {
      it: tenantProvisioning(tenantId: $id, after: $after) { id cursor kind sequence } }
"""
FOLLOW_ALL = "subscription W($after: String) { it: auditEventAdded(after: $after) { id cursor type } }"
FOLLOW_ON = """
    subscription W($id: ID!) { it: tenantProvisioning(tenantId: $id, follow: true) { id } }
"""
NEWER = """
    query N($before: String) { auditEvents(last: 100, before: $before) { edges { node { id cursor type } } } }
"""
RENAMED = """
    query R($before: String) { auditEvents(last: 100, before: $before, filter: { typeIn: ["tenant.updated"] }) {
      edges { node { id cursor tenant { id } data } } } }
"""
NEWEST = "{ auditEvents(first: 1) { edges { node { id cursor } } } }"
TIMELINE = """
    query T($id: ID!) { tenant(id: $id) { runs(first: 1) { edges { node {
      timeline(first: 100) { edges { node { id sequence kind } } } } } } } }
"""
IDLE_THREADS_END_AFTER = 10.0
"""Seconds after which anyio ends an idle thread, at the next call that uses a thread (``MAX_IDLE_TIME`` of its worker
threads). Until then there are as many threads as were ever used at once."""

RELEASED_WITHIN = 10.0 + IDLE_THREADS_END_AFTER
"""Seconds until every resource of an aborted connection is released: its last statement ends within
``statement_timeout`` (10 s, the default) even without a cancel, and its thread is idle from then on."""

WRITTEN_TYPES = {"access.denied", "tenant.updated"}
"""The types of events that the writers write."""

WRITERS = 64
WAITERS = 8
"""Writers that wait for a tenant's lock."""
MAX_DELAY = 0.3
"""Seconds that a transaction stays open after it has written, at the most."""


@dataclass
class Goal:
    """The last event that every reader has to see. It is known once all writers have finished."""

    last: str | None = None

    def reached(self, entries: list[Facts]) -> bool:
        """Whether the last event is among these entries."""
        return self.last is not None and any(entry["id"] == self.last for entry in reversed(entries))

    def up_to_here(self, entries: list[Facts]) -> list[Facts]:
        """The entries up to the last event: of later events, readers may have seen different numbers."""
        ids = [entry["id"] for entry in entries]
        assert len(ids) == len(set(ids)), "V10: a reader saw an event twice"
        return entries[: ids.index(self.last) + 1] if self.last in ids else entries


@scenario(without="no_subscription_cursors", breaks="V10")
def subscription_resume_gap_free_over_cancel(harness: ScenarioHarness) -> str:
    """Timelines and feed are cut at random and resumed by cursor during cancels: each entry comes once, in order."""
    return _follow_over_cancels(harness)


@scenario(without="no_subscription_cursors", breaks="V10", options=Options(hints="redis"))
def subscription_resume_gap_free_with_hints_over_redis(harness: ScenarioHarness) -> str:
    """The same with hints over Redis, which is flushed, stopped and started meanwhile."""
    ended, blows = threading.Event(), 0

    def harm_the_broker() -> None:
        nonlocal blows
        while not ended.wait(1.0):
            harness.testbed.flush_broker()
            if ended.wait(1.0):
                return
            harness.testbed.stop_broker()
            ended.wait(1.0)
            harness.testbed.start_broker()
            blows += 1

    with ThreadPoolExecutor(1) as other:
        harming = other.submit(harm_the_broker)
        try:
            figure = _follow_over_cancels(harness)
        finally:
            ended.set()
        harming.result()
    assert blows, "Redis was never away, so nothing is proved"
    return f"{figure}; Redis was flushed and away {blows} times"


def _follow_over_cancels(harness: ScenarioHarness) -> str:
    harness.create()
    start = _newest_cursor(harness.owner)
    stopped, goal = threading.Event(), Goal()
    count = harness.scaled(40, reduced=8)
    watchers = [Follower(harness.owner, FOLLOW_ALL, {}, seed, start) for seed in range(3)]
    rng = random.Random(1)  # reproducible, not a secret

    def live(number: int, wait: float) -> tuple[Saga, Follower]:
        saga = harness.create()
        follower = Follower(harness.owner, FOLLOW_ONE, {"id": saga.id}, number)
        with ThreadPoolExecutor(1) as other:
            following = other.submit(follower.follow, lambda seen: bool(seen) and seen[-1]["kind"] == "RUN_FINISHED")
            stopped.wait(wait)
            harness.cancel(saga)
            following.result()
        return saga, follower

    with ThreadPoolExecutor(len(watchers)) as watching:
        following = [
            watching.submit(one.follow, lambda seen: stopped.is_set() or goal.reached(seen)) for one in watchers
        ]
        try:
            with ThreadPoolExecutor(8) as pool:
                followed = list(pool.map(live, range(count), [rng.uniform(0, 1.5) for _ in range(count)]))
            ends = harness.await_all_runs()
            goal.last = _newer(harness.owner, start)[-1]["id"]
        except BaseException:
            stopped.set()
            raise
        for watcher in following:
            watcher.result()

    for saga, follower in followed:
        _expect_the_timeline(harness, saga, follower)
    feed = goal.up_to_here(_newer(harness.owner, start))
    for one in watchers:
        _expect_the_same(goal.up_to_here(one.seen), feed)
    cuts = sum(one.cuts for one in [*watchers, *(follower for _, follower in followed)])
    assert cuts > count / 4, f"V10: only {cuts} cuts, so nothing is proved"
    return f"{cuts} cuts, {count} timelines, {len(feed)} events, {ends.get('CANCELLED', 0)} cancelled"


@scenario(without="no_wait_for_late_commits", breaks="V10")
def feed_gap_free_with_64_writers(harness: ScenarioHarness) -> str:
    """64 writers with random commit delays, readers with random disconnects: each event is read once, in order."""
    tenants = [_quiet_tenant(harness, f"w{number}") for number in range(WRITERS // 2)]
    start = _newest_cursor(harness.owner)
    stopped, goal = threading.Event(), Goal()
    each = harness.scaled(25, reduced=4)
    followers = [Follower(harness.owner, FOLLOW_ALL, {}, seed, start) for seed in range(4)]
    settings = harness.testbed.settings.model_copy(update={"database_pool": WRITERS // 2})
    database = Database(settings, name="tenantry-writers")

    def enough(seen: list[Facts]) -> bool:
        return stopped.is_set() or goal.reached(seen)

    with ThreadPoolExecutor(WRITERS) as writers, ThreadPoolExecutor(len(followers) + 1) as readers:
        reading: list[Future[None]] = [readers.submit(one.follow, enough) for one in followers]
        pages = readers.submit(_read_pages, harness.owner, start, enough)
        try:
            slow = [writers.submit(_write_slowly, database, harness, number, each) for number in range(WRITERS // 2)]
            named = [writers.submit(_rename, harness, tenant, each) for tenant in tenants]
            waiting = [writers.submit(_write_and_wait, database, harness, tenant, each) for tenant in tenants[:WAITERS]]
            for writer in [*slow, *named, *waiting]:
                writer.result()
            expected = (WRITERS + 2 * WAITERS) * each
            goal.last = _await_written(harness.owner, start, expected)
        except BaseException:
            stopped.set()
            raise
        finally:
            database.close()
        for reader in reading:
            reader.result()

    feed = goal.up_to_here(_newer(harness.owner, start))
    written = sum(event["type"] in WRITTEN_TYPES for event in feed)
    assert written == expected, f"V10: {written} of {expected} events are in the feed"
    _expect_each_to_follow_from_the_one_before(harness.owner, start)
    for follower in followers:
        _expect_the_same(goal.up_to_here(follower.seen), feed)
    _expect_the_same(goal.up_to_here(pages.result()), feed)
    return f"{len(feed)} events, {len(followers) + 1} readers, {sum(one.cuts for one in followers)} cuts"


@scenario(without="no_unsubscribe_on_disconnect", breaks="V13", options=Options(workers=1))
def subscriptions_do_not_leak(harness: ScenarioHarness) -> str:
    """Connections that are aborted at any time leave no listener, task, thread or file behind."""
    saga = harness.create()
    harness.checker.await_run(saga, "SUCCEEDED")
    cycles = harness.scaled(5000, reduced=200)
    with ThreadPoolExecutor(8) as pool:
        # So far there was one request at a time: this is the minimum of threads, all others have to end.
        fewest = harness.testbed.resource_counts()["threads"]
        list(pool.map(lambda seed: _connect_and_abort(harness, saga.id, seed), range(80)))
        base = _stable_counts(harness) | {"threads": fewest}
        list(pool.map(lambda seed: _connect_and_abort(harness, saga.id, seed), range(cycles)))
    # The database pool grows to its size and keeps it; a request uses one or two threads.
    slack = {"listeners": 0, "tasks": 2, "threads": 2, "files": harness.testbed.settings.database_pool}

    def back_to_base() -> bool:
        harness.owner.read(saga)  # idle threads end when a thread is used
        return all(count <= base[name] + slack[name] for name, count in harness.testbed.resource_counts().items())

    try:
        until(back_to_base, "", within=RELEASED_WITHIN, every=0.25)
    except AssertionError:
        raise AssertionError(
            f"V13: {harness.testbed.resource_counts()} after {cycles} connections, {base} before"
        ) from None
    counts = f"{base['tasks']} tasks, {base['threads']} threads, {base['files']} files"
    return f"{cycles} connections, {counts} before and after"


def _newest_cursor(reader: ApiClient) -> str:
    """The cursor of the newest event. The feed may be empty while an earlier transaction is open."""
    newest: list[Facts] = []

    def has_events() -> bool:
        newest[:] = nodes(reader.execute(NEWEST)["auditEvents"])
        return bool(newest)

    until(has_events, "V10: the feed stays empty")
    return str(newest[0]["cursor"])


def _newer(reader: ApiClient, cursor: str, document: str = NEWER) -> list[Facts]:
    """The events of the feed after this cursor, oldest first, page by page."""
    found: list[Facts] = []
    while page := nodes(reader.execute(document, before=cursor)["auditEvents"])[::-1]:
        found += page
        cursor = page[-1]["cursor"]
    return found


def _read_pages(reader: ApiClient, cursor: str, enough: Callable[[list[Facts]], bool]) -> list[Facts]:
    """Read page after page, as a client without a websocket does."""
    found: list[Facts] = []
    last_entry_at = time.monotonic()
    while not enough(found):
        page = _newer(reader, cursor)
        found += page
        cursor, last_entry_at = (page[-1]["cursor"], time.monotonic()) if page else (cursor, last_entry_at)
        assert time.monotonic() - last_entry_at < MAX_SILENCE, "V10: no new page for too long"
    return found


def _await_written(reader: ApiClient, cursor: str, expected: int) -> str:
    """Wait until the feed has ``expected`` events of the writers; returns the id of the newest.

    The feed withholds events behind an open transaction.
    """
    feed: list[Facts] = []

    def complete() -> bool:
        feed[:] = _newer(reader, cursor)
        return sum(event["type"] in WRITTEN_TYPES for event in feed) >= expected

    until(complete, f"V10: the feed does not have {expected} events", every=0.25)
    return str(feed[-1]["id"])


def _expect_the_same(seen: list[Facts], feed: list[Facts]) -> None:
    ids, expected = [entry["id"] for entry in seen], [event["id"] for event in feed]
    missing, twice = set(expected) - set(ids), len(ids) - len(set(ids))
    assert ids == expected, f"V10: {len(missing)} of {len(expected)} missed, {twice} seen twice, or not in order"


def _expect_the_timeline(harness: ScenarioHarness, saga: Saga, follower: Follower) -> None:
    [run] = nodes(harness.owner.execute(TIMELINE, id=saga.id)["tenant"]["runs"])
    _expect_the_same(follower.seen, nodes(run["timeline"]))
    numbers = [entry["sequence"] for entry in follower.seen]
    assert numbers == sorted(set(numbers)), f"V10: the timeline of {saga.slug} has the order {numbers}"
    mine = {uuid_of(event["id"]) for event in harness.checker.events(saga)}
    assert mine >= {uuid_of(entry["id"]) for entry in follower.seen}, f"V10: {saga.slug}: not in the feed"


def _quiet_tenant(harness: ScenarioHarness, slug: str) -> str:
    """Create a tenant that is not provisioned; returns its id."""
    payload = harness.owner.retry_until_available(
        "createTenant", slug=slug, plan="starter", firstAdminEmail="w@w.example", start=False
    )
    tenant: str = payload["tenant"]["id"]
    return tenant


def _write_slowly(database: Database, harness: ScenarioHarness, number: int, times: int) -> None:
    """Write events in transactions that stay open for a random time, so that the order of commits differs."""
    rng = random.Random(number)  # reproducible, not a secret
    for _ in range(times):
        database.transact(_write, harness, rng.uniform(0, MAX_DELAY))


def _write(session: Session, harness: ScenarioHarness, seconds: float) -> None:
    facts = {"action": "write", "reason": "conformance test"}
    by = harness.owner.identity.actor
    emit_for_organisation(session, harness.clients.organisation.id, EventType.ACCESS_DENIED, facts, by=by)
    session.flush()
    session.execute(select(func.pg_sleep(seconds)))


def _write_and_wait(database: Database, harness: ScenarioHarness, tenant: str, times: int) -> None:
    """Write events in transactions that get their transaction id long before the lock of their tenant."""
    for number in range(times):
        database.transact(_write_and_lock, harness, UUID(uuid_of(tenant)), f"Waited {number}")


def _write_and_lock(session: Session, harness: ScenarioHarness, tenant_id: UUID, name: str) -> None:
    _write(session, harness, MAX_DELAY / 10)
    corrections, by = Corrections(name=name), harness.owner.identity.actor
    commands.update_tenant(session, tenant_id, corrections, by=by, regions=harness.testbed.settings.regions)


def _expect_each_to_follow_from_the_one_before(reader: ApiClient, cursor: str) -> None:
    """V10: the feed has the name changes of each tenant in their order."""
    names: dict[str, str] = {}
    for event in _newer(reader, cursor, RENAMED):
        tenant, (before, after) = event["tenant"]["id"], event["data"]["changes"]["name"]
        assert names.setdefault(tenant, before) == before, f"V10: a change from {before} follows {names[tenant]}"
        names[tenant] = after


def _rename(harness: ScenarioHarness, tenant: str, times: int) -> None:
    for number in range(times):
        payload = harness.owner.retry_until_available("updateTenant", tenantId=tenant, name=f"Name {number}")
        assert not payload["userErrors"], f"V8: {payload}"


def _connect_and_abort(harness: ScenarioHarness, tenant: str, seed: int) -> None:
    """Connect, perform a random number of stages, and abort the connection."""
    rng = random.Random(seed)  # reproducible, not a secret
    with AbruptClient(harness.testbed.address, harness.owner.token) as client:
        stages = [
            client.authenticate,
            lambda: client.subscribe(FOLLOW_ON, id=tenant),
            lambda: client.subscribe(FOLLOW_ALL),
            client.receive_first,
        ]
        for perform in stages[: rng.randint(1, len(stages))]:
            perform()


def _stable_counts(harness: ScenarioHarness) -> dict[str, int]:
    """The resource counts of the API without clients: two equal counts in a row, without listeners."""
    counts = [harness.testbed.resource_counts()]

    def same_again() -> bool:
        counts.append(harness.testbed.resource_counts())
        return counts[-1] == counts[-2] and not counts[-1]["listeners"]

    try:
        until(same_again, "", within=RELEASED_WITHIN, every=0.5)
    except AssertionError:
        raise AssertionError(f"V13: without clients, the API still has {counts[-3:]}") from None
    return counts[-1]

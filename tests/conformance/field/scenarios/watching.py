"""Whoever follows what happens: sees everything once and in order, and leaves nothing behind."""

import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from uuid import UUID

import websockets.exceptions
from sqlalchemy import func, select
from sqlmodel import Session

from provisioning import commands
from provisioning.commands import Corrections
from provisioning.events import EventType, emit_for_organisation
from runtime.database import Database
from runtime.feed import POLL_EVERY
from tests.api import Client, Facts, Subscription
from tests.conformance.field.abrupt import Visitor
from tests.conformance.field.director import until
from tests.conformance.field.invariant_checker import nodes
from tests.conformance.field.people import Caller, Saga, uuid_of
from tests.conformance.field.processes import Wishes
from tests.conformance.field.scenario import Play, scenario

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
TOLD = """
    query T($id: ID!) { tenant(id: $id) { runs(first: 1) { edges { node {
      timeline(first: 100) { edges { node { id sequence kind } } } } } } } }
"""
QUIET = POLL_EVERY + 1.0
"""Seconds that a follower waits for the next entry before it goes on: the product polls every two."""

LONGEST_SILENCE = 60.0
"""Seconds without an entry after which the next one counts as lost: twice the longest wait for a run, 30 s."""

MOST_CUTS = 20
"""How often somebody may be cut off without having seen anything new."""

IDLE_THREADS_END_AFTER = 10.0
"""Seconds: anyio ends threads that were idle for so long, at the next call that takes a thread
(``MAX_IDLE_TIME`` of its worker threads). Until then there are as many as were ever needed at once."""

GONE_WITHIN = 10.0 + IDLE_THREADS_END_AFTER
"""Seconds after which nothing is left of a visitor who was torn away: his last statement ends within
``statement_timeout`` (10 s, the default) even if nobody cancels it, and its thread is idle from then on."""

WRITTEN = {"access.denied", "tenant.updated"}
"""Events that writers write."""

WRITERS = 64
WAITERS = 8
"""Writers who meet others at a tenant's lock."""
LONGEST_DELAY = 0.3
"""The longest that a transaction stays open after it has written, in seconds."""


@dataclass
class Goal:
    """The last event that every reader has to see. It is known once everything was written."""

    last: str | None = None

    def reached(self, entries: list[Facts]) -> bool:
        """Whether it is among these entries."""
        return self.last is not None and any(entry["id"] == self.last for entry in reversed(entries))

    def up_to_here(self, entries: list[Facts]) -> list[Facts]:
        """The entries as far as the goal: of what is written later, some readers have seen more than others."""
        ids = [entry["id"] for entry in entries]
        return entries[: ids.index(self.last) + 1] if self.last in ids else entries


@dataclass
class Follower:
    """Somebody who follows, is cut off again and again, and goes on behind the last entry that he saw."""

    caller: Caller
    document: str
    variables: Facts
    seed: int
    cursor: str | None = None
    seen: list[Facts] = field(default_factory=list)
    cuts: int = 0
    heard_at: float = field(default_factory=time.monotonic)

    def follow(self, enough: Callable[[list[Facts]], bool]) -> None:
        """Until it is enough, at one connection after the other."""
        chance = random.Random(self.seed)  # a story, not a secret
        while not self._listen(chance.randint(1, 12), enough, abruptly=chance.random() < 0.5):
            self.cuts += 1
            new = len({entry["id"] for entry in self.seen})
            assert self.cuts < MOST_CUTS + new, f"V10: after {self.cuts} cuts the end is not in sight"

    def _listen(self, entries: int, enough: Callable[[list[Facts]], bool], *, abruptly: bool) -> bool:
        client = Client(self.caller.field.address, f"Bearer {self.caller.token}")
        with client.subscribed(self.document, after=self.cursor, **self.variables) as subscription:
            for _ in range(entries):
                entry = _next(subscription)
                if entry is not None:
                    self.heard_at = time.monotonic()
                    self.cursor = entry["cursor"]
                    self.seen += [entry] if entry.get("sequence", 0) is not None else []
                if enough(self.seen):
                    return True
                silent = time.monotonic() - self.heard_at
                assert silent < LONGEST_SILENCE, f"V10: nothing more comes for {silent:.0f} s"
            if abruptly:
                subscription.socket.socket.shutdown(socket.SHUT_RDWR)
        return False


@scenario(without="no_cursors_in_subscriptions", breaks="V10")
def subscription_resume_gap_free_over_cancel(play: Play) -> str:
    """Timelines and the feed, cut at random, resumed by cursor while runs are cancelled: everything once, in order."""
    play.create()
    start = _newest_cursor(play.owner)
    over, goal = threading.Event(), Goal()
    count = play.many(40, hurried=8)
    watchers = [Follower(play.owner, FOLLOW_ALL, {}, seed, start) for seed in range(3)]
    chance = random.Random(1)  # a story, not a secret

    def live(number: int, wait: float) -> tuple[Saga, Follower]:
        saga = play.create()
        follower = Follower(play.owner, FOLLOW_ONE, {"id": saga.id}, number)
        with ThreadPoolExecutor(1) as other:
            following = other.submit(follower.follow, lambda seen: bool(seen) and seen[-1]["kind"] == "RUN_FINISHED")
            over.wait(wait)
            play.cancel(saga)
            following.result()
        return saga, follower

    with ThreadPoolExecutor(len(watchers)) as watching:
        told = [watching.submit(one.follow, lambda seen: over.is_set() or goal.reached(seen)) for one in watchers]
        try:
            with ThreadPoolExecutor(8) as people:
                followed = list(people.map(live, range(count), [chance.uniform(0, 1.5) for _ in range(count)]))
            ends = play.settle()
            goal.last = _newer(play.owner, start)[-1]["id"]
        except BaseException:
            over.set()
            raise
        for watcher in told:
            watcher.result()

    for saga, follower in followed:
        _expect_the_timeline(play, saga, follower)
    feed = goal.up_to_here(_newer(play.owner, start))
    for one in watchers:
        _expect_the_same(goal.up_to_here(one.seen), feed)
    cuts = sum(one.cuts for one in [*watchers, *(follower for _, follower in followed)])
    assert cuts > count / 4, f"V10: only {cuts} cuts prove nothing"
    return f"{cuts} cuts, {count} timelines, {len(feed)} events, {ends.get('CANCELLED', 0)} cancelled"


@scenario(without="no_waiting_for_late_commits", breaks="V10")
def feed_gap_free_with_64_writers(play: Play) -> str:
    """64 writers whose commits are delayed at random, readers that drop at random: every event once, in order."""
    tenants = [_quiet_tenant(play, f"w{number}") for number in range(WRITERS // 2)]
    start = _newest_cursor(play.owner)
    over, goal = threading.Event(), Goal()
    each = play.many(25, hurried=4)
    followers = [Follower(play.owner, FOLLOW_ALL, {}, seed, start) for seed in range(4)]
    settings = play.field.settings.model_copy(update={"database_pool": WRITERS // 2})
    database = Database(settings, name="tenantry-writers")

    def enough(seen: list[Facts]) -> bool:
        return over.is_set() or goal.reached(seen)

    with ThreadPoolExecutor(WRITERS) as writers, ThreadPoolExecutor(len(followers) + 1) as readers:
        reading: list[Future[None]] = [readers.submit(one.follow, enough) for one in followers]
        pages = readers.submit(_turn_pages, play.owner, start, enough)
        try:
            slow = [writers.submit(_write_slowly, database, play, number, each) for number in range(WRITERS // 2)]
            named = [writers.submit(_rename, play, tenant, each) for tenant in tenants]
            waiting = [writers.submit(_write_and_wait, database, play, tenant, each) for tenant in tenants[:WAITERS]]
            for writer in [*slow, *named, *waiting]:
                writer.result()
            expected = (WRITERS + 2 * WAITERS) * each
            goal.last = _await_written(play.owner, start, expected)
        except BaseException:
            over.set()
            raise
        finally:
            database.close()
        for reader in reading:
            reader.result()

    feed = goal.up_to_here(_newer(play.owner, start))
    written = sum(event["type"] in WRITTEN for event in feed)
    assert written == expected, f"V10: {written} of {expected} events are in the feed"
    _expect_each_to_follow_from_the_one_before(play.owner, start)
    for follower in followers:
        _expect_the_same(goal.up_to_here(follower.seen), feed)
    _expect_the_same(goal.up_to_here(pages.result()), feed)
    return f"{len(feed)} events, {len(followers) + 1} readers, {sum(one.cuts for one in followers)} cuts"


@scenario(without="no_farewell_to_watchers", breaks="V13", wishes=Wishes(workers=1))
def subscriptions_do_not_leak(play: Play) -> str:
    """People who connect and are torn away at any moment leave no listener, task, thread or file behind."""
    saga = play.create()
    play.checker.await_run(saga, "SUCCEEDED")
    cycles = play.many(5000, hurried=200)
    with ThreadPoolExecutor(8) as crowd:
        # So far one question was asked at a time: these are the fewest threads, and all others have to end.
        fewest = play.field.census()["threads"]
        list(crowd.map(lambda seed: _come_and_go(play, saga.id, seed), range(80)))
        base = _steady(play) | {"threads": fewest}
        list(crowd.map(lambda seed: _come_and_go(play, saga.id, seed), range(cycles)))
    # The pool of connections grows to its size and stays there; a question takes one or two threads.
    slack = {"listeners": 0, "tasks": 2, "threads": 2, "files": play.field.settings.database_pool}

    def back_to_base() -> bool:
        play.owner.look(saga)  # idle threads end when a thread is taken
        return all(count <= base[name] + slack[name] for name, count in play.field.census().items())

    try:
        until(back_to_base, "", within=GONE_WITHIN, every=0.25)
    except AssertionError:
        raise AssertionError(f"V13: {play.field.census()} after {cycles} visits, and {base} before") from None
    return f"{cycles} visits, {base['tasks']} tasks, {base['threads']} threads, {base['files']} files before and after"


def _next(subscription: Subscription) -> Facts | None:
    """The next entry; None when there is nothing more for now, or for good."""
    try:
        message = subscription.message(QUIET)
    except (TimeoutError, websockets.exceptions.ConnectionClosed):
        return None
    if message["type"] == "complete":
        return None
    assert message["type"] == "next", f"V10: {message}"
    entry: Facts = message["payload"]["data"]["it"]
    return entry


def _newest_cursor(reader: Caller) -> str:
    """Of the newest event that is told already: while an earlier transaction is open, there may be none."""
    newest: list[Facts] = []

    def told() -> bool:
        newest[:] = nodes(reader.ask(NEWEST)["auditEvents"])
        return bool(newest)

    until(told, "V10: the feed tells nothing")
    return str(newest[0]["cursor"])


def _newer(reader: Caller, cursor: str, document: str = NEWER) -> list[Facts]:
    """What is in the feed behind this place, oldest first, page by page."""
    found: list[Facts] = []
    while page := nodes(reader.ask(document, before=cursor)["auditEvents"])[::-1]:
        found += page
        cursor = page[-1]["cursor"]
    return found


def _turn_pages(reader: Caller, cursor: str, enough: Callable[[list[Facts]], bool]) -> list[Facts]:
    """Read page after page, as somebody does who has no socket."""
    found: list[Facts] = []
    heard_at = time.monotonic()
    while not enough(found):
        page = _newer(reader, cursor)
        found += page
        cursor, heard_at = (page[-1]["cursor"], time.monotonic()) if page else (cursor, heard_at)
        assert time.monotonic() - heard_at < LONGEST_SILENCE, "V10: the pages end too early"
    return found


def _await_written(reader: Caller, cursor: str, expected: int) -> str:
    """Wait until so many events are told; the id of the newest. An open transaction keeps later ones back."""
    feed: list[Facts] = []

    def told() -> bool:
        feed[:] = _newer(reader, cursor)
        return sum(event["type"] in WRITTEN for event in feed) >= expected

    until(told, f"V10: the feed does not tell {expected} events", every=0.25)
    return str(feed[-1]["id"])


def _expect_the_same(seen: list[Facts], feed: list[Facts]) -> None:
    ids, wanted = [entry["id"] for entry in seen], [event["id"] for event in feed]
    missing, twice = set(wanted) - set(ids), len(ids) - len(set(ids))
    assert ids == wanted, f"V10: {len(missing)} of {len(wanted)} missed, {twice} seen twice, or not in order"


def _expect_the_timeline(play: Play, saga: Saga, follower: Follower) -> None:
    [run] = nodes(play.owner.ask(TOLD, id=saga.id)["tenant"]["runs"])
    _expect_the_same(follower.seen, nodes(run["timeline"]))
    numbers = [entry["sequence"] for entry in follower.seen]
    assert numbers == sorted(set(numbers)), f"V10: {saga.slug} was told as {numbers}"
    mine = {uuid_of(event["id"]) for event in play.checker.events(saga)}
    assert mine >= {uuid_of(entry["id"]) for entry in follower.seen}, f"V10: {saga.slug}: not in the feed"


def _quiet_tenant(play: Play, slug: str) -> str:
    """The id of a tenant that nobody provisions."""
    payload = play.owner.retry_until_available(
        "createTenant", slug=slug, plan="starter", firstAdminEmail="w@w.example", start=False
    )
    tenant: str = payload["tenant"]["id"]
    return tenant


def _write_slowly(database: Database, play: Play, number: int, times: int) -> None:
    """Events whose transactions stay open for a while: whoever began later commits earlier."""
    chance = random.Random(number)  # a story, not a secret
    for _ in range(times):
        database.transact(_write, play, chance.uniform(0, LONGEST_DELAY))


def _write(session: Session, play: Play, seconds: float) -> None:
    facts = {"action": "write", "reason": "to see who reads it"}
    by = play.owner.identity.actor
    emit_for_organisation(session, play.cast.organisation.id, EventType.ACCESS_DENIED, facts, by=by)
    session.flush()
    session.execute(select(func.pg_sleep(seconds)))


def _write_and_wait(database: Database, play: Play, tenant: str, times: int) -> None:
    """Events of a transaction that had a number long before it got its tenant's lock."""
    for number in range(times):
        database.transact(_write_and_lock, play, UUID(uuid_of(tenant)), f"Waited {number}")


def _write_and_lock(session: Session, play: Play, tenant_id: UUID, name: str) -> None:
    _write(session, play, LONGEST_DELAY / 10)
    wanted, by = Corrections(name=name), play.owner.identity.actor
    commands.update_tenant(session, tenant_id, wanted, by=by, regions=play.field.settings.regions)


def _expect_each_to_follow_from_the_one_before(reader: Caller, cursor: str) -> None:
    """V10: a tenant's renamings are told in the order in which they happened."""
    names: dict[str, str] = {}
    for event in _newer(reader, cursor, RENAMED):
        tenant, (before, after) = event["tenant"]["id"], event["data"]["changes"]["name"]
        assert names.setdefault(tenant, before) == before, f"V10: from {before}, and it was {names[tenant]}"
        names[tenant] = after


def _rename(play: Play, tenant: str, times: int) -> None:
    for number in range(times):
        payload = play.owner.retry_until_available("updateTenant", tenantId=tenant, name=f"Name {number}")
        assert not payload["userErrors"], f"V8: {payload}"


def _come_and_go(play: Play, tenant: str, seed: int) -> None:
    """Connect, come as far as chance will have it, and be torn away."""
    chance = random.Random(seed)  # a story, not a secret
    with Visitor(play.field.address, play.owner.token) as visitor:
        stages = [
            visitor.say_who,
            lambda: visitor.subscribe(FOLLOW_ON, id=tenant),
            lambda: visitor.subscribe(FOLLOW_ALL),
            visitor.hear,
        ]
        for harness in stages[: chance.randint(1, len(stages))]:
            harness()


def _steady(play: Play) -> dict[str, int]:
    """What the API holds on to when nobody is there: two counts in a row that say the same."""
    counts = [play.field.census()]

    def same_again() -> bool:
        counts.append(play.field.census())
        return counts[-1] == counts[-2] and not counts[-1]["listeners"]

    try:
        until(same_again, "", within=GONE_WITHIN, every=0.5)
    except AssertionError:
        raise AssertionError(f"V13: nobody is there, and the API holds on to {counts[-3:]}") from None
    return counts[-1]

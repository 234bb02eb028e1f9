"""The death of a worker is noticed by its session lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import psycopg
import pytest
from sqlmodel import Session

from models import Run
from provisioning import run_store
from provisioning.due_work import DueWork, due_work
from provisioning.lost_workers import MARK, WorkerLocks
from runtime.connections import connect
from runtime.database import Statements
from tests.conformance.field import pgwire
from tests.conformance.field.relay import Filter, Relay
from tests.run_harness import RunHarness
from workers import presence as presence_module
from workers.presence import GRACE, LONGEST_GAP, LOOK_EVERY, LostWorkers, Presence

LEASE, ALARM = timedelta(seconds=15), timedelta(seconds=120)


# What one statement finds


@contextmanager
def only_run(harness: RunHarness, change: str) -> Iterator[Session]:
    """A transaction, rolled back at the end, in which a change was made to a new run, and no other run needs work."""
    harness.create()
    run = harness.run().id
    with Session(harness.database.engine) as session:
        execute(session, "UPDATE runs SET due_at = now() + interval '1 day' WHERE due_at IS NOT NULL")
        execute(session, "UPDATE runs SET deadline_at = NULL")
        execute(session, "UPDATE run_steps SET compensation_delayed_at = now() WHERE compensation_started_at < now()")
        assert execute(session, change, run=run) == 1
        yield session


def execute(session: Session, statement: str, **values: object) -> int:
    return session.connection().exec_driver_sql(statement, values).rowcount


def work_of(session: Session, own: str = "me#1") -> DueWork:
    return due_work(Statements.of(session), own, LEASE, ALARM)


def kinds_of(work: DueWork) -> list[str]:
    return [kind for kind in ("ends", "forward", "backward", "overdue", "delayed") if getattr(work, kind)]


NOTHING = "SELECT 1"
DUE = "UPDATE runs SET due_at = now() - interval '1 s'"
CHANGES = {
    "due for a step": (f"{DUE}, dispatched_at = NULL WHERE id = %(run)s", ["forward"]),
    "due after its last wake-up": (f"{DUE}, dispatched_at = now() - interval '2 s' WHERE id = %(run)s", ["forward"]),
    "with a wake-up that is lost": (
        "UPDATE runs SET due_at = now() - interval '5 s', dispatched_at = now() - interval '2 s' WHERE id = %(run)s",
        ["forward"],
    ),
    "undone": (f"{DUE}, dispatched_at = NULL, status = 'COMPENSATING' WHERE id = %(run)s", ["ends", "backward"]),
    "past its deadline": ("UPDATE runs SET deadline_at = now() - interval '1 s' WHERE id = %(run)s", ["overdue"]),
    "with a delayed undo": (
        """
        UPDATE run_steps SET status = 'COMPENSATING', compensation_delayed_at = NULL,
            compensation_started_at = now() - interval '3 min'
        WHERE run_id = %(run)s AND name = 'validate_request'
        """,
        ["delayed"],
    ),
}


@pytest.mark.parametrize(("change", "kinds"), CHANGES.values(), ids=CHANGES)
def test_one_statement_finds_each_kind_of_work(harness: RunHarness, change: str, kinds: list[str]) -> None:
    with only_run(harness, change) as session:
        assert kinds_of(work_of(session)) == kinds


LATER = {
    "due later": NOTHING,
    "due with a wake-up that is under way": f"{DUE}, dispatched_at = now() - interval '0.5 s' WHERE id = %(run)s",
    "cancelled before its deadline": "UPDATE runs SET deadline_at = now() - interval '1 s', status = 'CANCELLING', "
    "cancel_requested_at = now(), cancel_actor_id = started_by_id WHERE id = %(run)s",
    "with an undo that takes a while": "UPDATE run_steps SET status = 'COMPENSATING', compensation_delayed_at = NULL, "
    "compensation_started_at = now() - interval '1 min' WHERE run_id = %(run)s AND name = 'validate_request'",
    "with an undo that was reported": "UPDATE run_steps SET status = 'COMPENSATING', compensation_delayed_at = now(), "
    "compensation_started_at = now() - interval '3 min' WHERE run_id = %(run)s AND name = 'validate_request'",
}


@pytest.mark.parametrize("change", LATER.values(), ids=LATER)
def test_one_statement_finds_no_work_that_is_not_due(harness: RunHarness, change: str) -> None:
    with only_run(harness, change) as session:
        found = work_of(session)

    assert kinds_of(found) == []
    assert found.locks == WorkerLocks([], own_is_held=False)


def test_one_statement_finds_when_the_next_run_is_due(harness: RunHarness) -> None:
    with only_run(harness, "UPDATE runs SET due_at = now() + interval '30 s' WHERE id = %(run)s") as session:
        found = work_of(session).next_due_in

    assert found is not None
    assert timedelta(seconds=25) < found <= timedelta(seconds=30)


def test_one_statement_finds_stuck_runs(harness: RunHarness) -> None:
    with only_run(harness, "UPDATE runs SET status = 'STUCK', due_at = NULL WHERE id = %(run)s") as session:
        assert harness.run().id in work_of(session).stuck


# Whose leases end


def leased(owner: str, until: str = "now() + interval '10 s'") -> str:
    return (
        f"UPDATE runs SET lease_token = gen_random_uuid(), lease_owner = '{owner}', lease_until = {until}, "
        f"due_at = {until} WHERE id = %(run)s"
    )


@contextmanager
def lock_of(database_url: str, owner: str) -> Iterator[None]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        taken = connection.execute(presence_module.TAKE_LOCK.encode(), [owner]).fetchone()
        assert taken == (True,)
        yield


@pytest.mark.parametrize(
    ("owner", "until", "locked", "missing"),
    [
        ("dead#1", "now() + interval '10 s'", False, True),
        ("live#1", "now() + interval '10 s'", True, False),
        ("of an earlier release:1", "now() + interval '10 s'", False, False),
        ("me#1", "now() + interval '10 s'", False, False),
        ("lapsed#1", "now() - interval '1 s'", False, False),
    ],
)
def test_the_owner_of_a_current_lease_is_missing_without_its_lock(
    harness: RunHarness, database_url: str, owner: str, until: str, *, locked: bool, missing: bool
) -> None:
    with only_run(harness, leased(owner, until)) as session, lock_of(database_url, owner if locked else "other#1"):
        assert work_of(session).locks.missing == ([owner] if missing else [])


@pytest.mark.parametrize("held", [True, False])
def test_a_worker_learns_whether_its_own_lock_is_held(harness: RunHarness, database_url: str, *, held: bool) -> None:
    with only_run(harness, leased("dead#1")) as session, lock_of(database_url, "me#1" if held else "other#1"):
        assert work_of(session).locks == WorkerLocks(["dead#1"], own_is_held=held)


@pytest.mark.parametrize(
    ("owner", "locked", "ended"), [("dead#1", "other#1", 1), ("dead#1", "dead#1", 0), ("another#1", "other#1", 0)]
)
def test_only_the_leases_of_an_owner_without_a_lock_end(
    harness: RunHarness, database_url: str, owner: str, locked: str, ended: int
) -> None:
    with only_run(harness, leased(owner)) as session, lock_of(database_url, locked):
        before = execute(session, "SELECT 1 FROM runs WHERE due_at <= clock_timestamp()")
        found = run_store.end_leases(Statements.of(session), "dead#1")
        due = execute(session, "SELECT 1 FROM runs WHERE due_at <= clock_timestamp() AND lease_token IS NOT NULL")

    assert (found, due - before) == (ended, ended)


def test_the_end_of_a_lease_does_not_wait_for_its_owner(harness: RunHarness) -> None:
    """The owner is about to record an outcome: the lock of the run is skipped."""
    harness.create()
    run = harness.run().id
    with harness.database.engine.begin() as connection:
        connection.exec_driver_sql(leased("dead#2"), {"run": run})
    with Session(harness.database.engine) as owner, Session(harness.database.engine) as other:
        owner.get(Run, run, with_for_update=True)
        assert run_store.end_leases(Statements.of(other), "dead#2") == 0
    assert harness.database.execute(run_store.end_leases, "dead#2") == 1


# When a worker counts as lost


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(presence_module, "monotonic", lambda: self.now)


MISSING, THERE = WorkerLocks(["dead#1"], own_is_held=True), WorkerLocks([], own_is_held=True)
OWN_IS_MISSING = WorkerLocks(["dead#1"], own_is_held=False)


@pytest.mark.parametrize(
    ("looks", "lost"),
    [
        ([(0, MISSING), (GRACE, MISSING)], True),
        ([(0, MISSING), (GRACE / 2, MISSING), (GRACE, MISSING)], True),
        ([(0, MISSING)], False),
        ([(0, MISSING), (GRACE * 0.9, MISSING)], False),
        ([(0, MISSING), (GRACE / 2, THERE), (GRACE, MISSING)], False),
        ([(0, MISSING), (GRACE / 2, OWN_IS_MISSING), (GRACE, MISSING)], False),
        ([(0, MISSING), (GRACE, OWN_IS_MISSING)], False),
        ([(0, MISSING), (LONGEST_GAP + 1, MISSING)], False),
        ([(0, MISSING), (LONGEST_GAP + 1, MISSING), (LONGEST_GAP + 1 + GRACE, MISSING)], True),
    ],
)
def test_a_worker_is_lost_when_its_lock_is_missing_in_two_looks_with_time_between(
    looks: list[tuple[float, WorkerLocks]], monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    clock = Clock(monkeypatch)
    presence = Presence()
    presence._since = 0.0
    judge = LostWorkers(presence)

    found = []
    for at, locks in looks:
        clock.now = 1000.0 + at
        found.append(judge.after(locks))

    assert found == [[]] * (len(looks) - 1) + [["dead#1"] if lost else []]


@pytest.mark.parametrize(("age", "lost"), [(0.0, False), (2 * GRACE - 0.1, False), (2 * GRACE, True)])
def test_a_process_judges_others_only_when_it_has_held_its_own_lock_for_a_while(
    age: float, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    """After a restart of Postgres all locks are missing, and the others need time to take theirs."""
    clock, presence = Clock(monkeypatch), Presence()
    judge = LostWorkers(presence)
    presence._since = clock.now - age
    first = judge.after(MISSING)
    clock.now += GRACE

    presence._since = clock.now - age

    assert (first, judge.after(MISSING)) == ([], ["dead#1"] if lost else [])


NO_OTHERS = WorkerLocks([], own_is_held=False)


@pytest.mark.parametrize(
    ("looks", "next_look_in"),
    [
        ([NO_OTHERS], None),
        ([THERE], LOOK_EVERY),
        ([MISSING], GRACE),
        ([MISSING, THERE], LOOK_EVERY),
        ([MISSING, NO_OTHERS], None),
    ],
)
def test_the_next_look_is_soon_while_others_have_leases_and_when_a_missing_one_counts_as_lost(
    looks: list[WorkerLocks], next_look_in: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, presence = Clock(monkeypatch), Presence()
    presence._since = clock.now - 100
    judge = LostWorkers(presence)

    for locks in looks:
        judge.after(locks)

    assert judge.next_look_in == next_look_in


# Which workers hold a lock


def test_a_worker_names_its_leases_for_its_lock_only_while_it_holds_it(database_url: str) -> None:
    names = list[str]()
    presence = Presence(names.append)

    with connect(database_url, "test", autocommit=True) as connection, presence.shown_on(connection):
        assert presence.age > 0

    assert names == [presence.locked_owner, presence.plain_owner]
    assert presence.locked_owner.startswith(presence.plain_owner + MARK)
    assert MARK not in presence.plain_owner
    assert presence.age == 0


def test_two_processes_have_different_names_on_one_machine_and_with_one_process_id() -> None:
    assert Presence().locked_owner != Presence().locked_owner


def test_a_worker_takes_its_lock_again_while_an_earlier_connection_still_holds_it(database_url: str) -> None:
    """Postgres may notice late that a connection has ended."""
    presence = Presence()
    with (
        connect(database_url, "test", autocommit=True) as first,
        connect(database_url, "test", autocommit=True) as second,
    ):
        assert presence._lock(first)
        assert presence._lock(second)


class Pooler(Relay):
    """Tells clients a process id of its own, as PgBouncer does in each mode."""

    def filter(self) -> Filter:
        return _OtherProcessId()


class _OtherProcessId(Filter):
    def __init__(self) -> None:
        self._replies = bytearray()

    def reply(self, data: bytes) -> bytearray:
        self._replies += data
        whole = bytearray()
        while message := pgwire.take(self._replies):
            whole += message[:5] + b"\0\0\0\1" + message[9:] if message[:1] == b"K" else message
        return whole


def test_a_worker_behind_a_pooler_takes_no_lock_and_says_so(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = list[str]()
    sockets = parse_qs(urlsplit(database_url).query)["host"][0]
    with Pooler(Path(sockets) / ".s.PGSQL.5432", tmp_path / ".s.PGSQL.5432"):
        pooled = database_url.replace(quote(sockets, safe=""), quote(str(tmp_path), safe=""))
        with connect(pooled, "test", autocommit=True) as connection, Presence(names.append).shown_on(connection):
            locks = connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
            assert locks.fetchone() is None

    assert MARK not in "".join(names)
    assert [record.message for record in caplog.records] == [
        "a pooler is between this worker and Postgres: if the worker dies, its runs wait for their leases"
    ]

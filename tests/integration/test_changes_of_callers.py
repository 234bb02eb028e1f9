"""What a caller's role cannot write in columns that the API has to write: attacks are tried as that role."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import Connection, sql

from models import TenantState
from models.columns import new_id
from provisioning.ports import Refused
from runtime.database import clock
from runtime.settings import settings
from tests.promises.test_column_rights import INSERTS, UPDATES
from tests.run_harness import RunHarness, run_harness_in
from tests.sql_attacks import CHANGES_OF_TENANTS_AND_RUNS, NEW_TENANT
from tests.tenant_states import all_rows, bring_tenant_to

ROLES = ("tenantry_api", "tenantry_manager", "tenantry_limited", "tenantry_support")
WRITERS = ROLES[:3]
Rights = Mapping[str, Mapping[str, set[str]]]

COLUMNS = """
    SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
        AND attidentity = ''
"""
HIGHEST_ID = UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")


def _provisioning(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    harness.claim()


def _cancelling(harness: RunHarness) -> None:
    _provisioning(harness)
    harness.cancel()


def _stuck(harness: RunHarness) -> None:
    harness.create()
    harness.make_moves(until="allocate_traffic")
    harness.faults.fail("identity.destroy", times=99, error=Refused("Not yours."))
    harness.record_failure(harness.claim(), Refused("No."))
    harness.make_moves()
    assert harness.run().status == "STUCK"


SITUATIONS: dict[str, Callable[[RunHarness], None]] = {
    "PENDING": lambda harness: bring_tenant_to(harness, TenantState.PENDING),
    "PROVISIONING": _provisioning,
    "ACTIVE": lambda harness: bring_tenant_to(harness, TenantState.ACTIVE),
    "DECOMMISSIONING": lambda harness: bring_tenant_to(harness, TenantState.DECOMMISSIONING),
    "CANCELLING": _cancelling,
    "STUCK": _stuck,
    "DECOMMISSIONED": lambda harness: bring_tenant_to(harness, TenantState.DECOMMISSIONED),
}


@pytest.fixture(scope="module")
def situations(database_url: str) -> Iterator[dict[str, RunHarness]]:
    """An organisation with one tenant in each situation. No test changes them: every attack is rolled back."""
    with ExitStack() as stack:
        harnesses = {name: stack.enter_context(run_harness_in(settings())) for name in SITUATIONS}
        for name, bring in SITUATIONS.items():
            bring(harnesses[name])
        yield harnesses


@pytest.fixture(scope="module", params=WRITERS)
def attacker(database_url: str, situations: dict[str, RunHarness], request: pytest.FixtureRequest) -> Iterator[Any]:
    with logged_in(database_url, request.param) as connection:
        yield connection


@contextmanager
def logged_in(url: str, role: str, *, inherits: str = "INHERIT") -> Iterator[Connection[Any]]:
    """A login of its own that was granted the role."""
    login = sql.Identifier(f"eve_{new_id().hex[-12:]}")
    with psycopg.connect(url, autocommit=True) as superuser:
        create = sql.SQL("CREATE ROLE {} LOGIN {} IN ROLE {}")
        superuser.execute(create.format(login, sql.SQL(inherits), sql.Identifier(role)))
        try:
            with psycopg.connect(url, user=login.as_string().strip('"'), autocommit=True) as connection:
                yield connection
        finally:
            superuser.execute(sql.SQL("DROP ROLE {}").format(login))


@contextmanager
def attack(connection: Connection[Any], harness: RunHarness) -> Iterator[None]:
    """A transaction that claims to be the organisation's operator, and is rolled back."""
    with connection.transaction(force_rollback=True):
        for name, value in {
            "caller": str(harness.operator.id),
            "organisation": str(harness.organisation.id),
            "tenants": f"{{{harness.tenant_id}}}",
        }.items():
            connection.execute("SELECT set_config(%s, %s, true)", [f"tenantry.{name}", value])
        yield


@pytest.mark.parametrize(
    ("situation", "statement"),
    [(situation, each) for situation, statements in CHANGES_OF_TENANTS_AND_RUNS.items() for each in statements],
)
def test_a_callers_statement_cannot_do_what_only_workers_do(
    situations: dict[str, RunHarness], attacker: Connection[Any], situation: str, statement: str
) -> None:
    before = all_rows(situations[situation])

    with attack(attacker, situations[situation]), pytest.raises(psycopg.errors.InsufficientPrivilege):
        attacker.execute(statement.encode())

    assert all_rows(situations[situation]) == before


UPDATES_BY_ATTACKERS = [
    (situation, each)
    for situation, statements in CHANGES_OF_TENANTS_AND_RUNS.items()
    for each in statements
    if each.lstrip().startswith("UPDATE")
]


@pytest.fixture(scope="module")
def front(database_url: str, situations: dict[str, RunHarness]) -> Iterator[Connection[Any]]:
    """A separate login of the API, as docs/operating.md describes it."""
    with logged_in(database_url, "tenantry_api", inherits="NOINHERIT") as connection:
        yield connection


@pytest.mark.parametrize(("situation", "statement"), UPDATES_BY_ATTACKERS)
def test_a_statement_that_resets_its_role_half_way_is_checked_too(
    situations: dict[str, RunHarness], front: Connection[Any], situation: str, statement: str
) -> None:
    resetting = f"{statement} {'AND' if 'WHERE' in statement else 'WHERE'} set_config('role', 'none', true) = 'none'"

    with attack(front, situations[situation]):
        front.execute("SET LOCAL ROLE tenantry_api")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            front.execute(resetting.encode())


def test_an_event_of_a_statement_that_resets_its_role_half_way_has_its_author_place_and_time_from_the_database(
    situations: dict[str, RunHarness], front: Connection[Any]
) -> None:
    """The role is reset while the row is computed, before any trigger."""
    harness = situations["ACTIVE"]
    forged = """
        INSERT INTO events (id, organisation_id, rank, type, actor_kind, actor_id, actor_name, data, created_at,
            request_id)
        SELECT %s, %s, 4611686018427387904, 'access.denied', 'SYSTEM', caller_id(), 'Tenantry', '{}', '2020-01-01Z',
            set_config('role', 'none', true)
    """

    with attack(front, harness):
        front.execute("SET LOCAL ROLE tenantry_api")
        front.execute(forged, [HIGHEST_ID, harness.organisation.id])
        front.execute("SET LOCAL ROLE tenantry_api")
        stored = front.execute(
            "SELECT id, actor_kind, rank - transaction_id, created_at >= transaction_timestamp()"
            " FROM events WHERE request_id = 'none'"
        ).fetchall()

    assert [row[1:] for row in stored] == [("USER", 0, True)]
    assert stored[0][0] != HIGHEST_ID


END_OF_A_RUN = """
    WITH ended AS (
        UPDATE runs SET status = 'FAILED', finished_at = now(), due_at = NULL WHERE status = 'STUCK'
        RETURNING id, tenant_id
    ), steps AS (
        UPDATE run_steps SET status = 'ABANDONED' FROM ended WHERE run_id = ended.id AND status = 'COMPENSATION_FAILED'
    ), ledger AS (
        UPDATE resources SET status = 'ABANDONED', abandoned_at = now(), abandoned_by_kind = 'USER',
            abandoned_by_id = caller_id(), abandoned_by = 'Eve', abandoned_reason = 'Gone.' FROM ended
        WHERE run_id = ended.id AND resources.status IN ('INTENDED', 'HELD') AND {abandoned}
    )
    UPDATE tenants SET state = 'FAILED', version = version + 1 FROM ended WHERE tenants.id = ended.tenant_id
    RETURNING state
"""


def test_one_statement_can_abandon_resources_and_end_their_run(
    situations: dict[str, RunHarness], attacker: Connection[Any]
) -> None:
    with attack(attacker, situations["STUCK"]):
        ended = attacker.execute(END_OF_A_RUN.format(abandoned="true").encode()).fetchall()

    assert ended == [("FAILED",)]


ALL_BUT_ONE = "resources.id <> (SELECT id FROM resources WHERE status IN ('INTENDED', 'HELD') ORDER BY id LIMIT 1)"


@pytest.mark.parametrize("abandoned", ["false", ALL_BUT_ONE])
def test_one_statement_that_abandons_less_than_is_held_cannot_end_the_run(
    situations: dict[str, RunHarness], attacker: Connection[Any], abandoned: str
) -> None:
    with attack(attacker, situations["STUCK"]), pytest.raises(psycopg.errors.InsufficientPrivilege, match="still held"):
        attacker.execute(END_OF_A_RUN.format(abandoned=abandoned).encode())


STATEMENTS = {
    "INSERT": "INSERT INTO {table} ({column}) SELECT NULL WHERE false",
    "UPDATE": "UPDATE {table} SET {column} = NULL WHERE false",
}


@pytest.mark.parametrize(("kind", "rights"), [("INSERT", INSERTS), ("UPDATE", UPDATES)])
@pytest.mark.parametrize("role", ROLES)
def test_every_column_that_the_api_does_not_write_is_closed(
    database_url: str, situations: dict[str, RunHarness], role: str, kind: str, rights: Rights
) -> None:
    """Tried as that login, with every column of every table."""
    of_all_callers = rights["tenantry_api"] if role in WRITERS else {}
    granted = {**of_all_callers, **rights.get(role, {})}

    with logged_in(database_url, role) as connection:
        columns = connection.execute(COLUMNS).fetchall()
        found = {(table, column) for table, column in columns if may_write(connection, kind, table, column)}

    assert found == {(table, column) for table, names in granted.items() for column in names}


def may_write(connection: Connection[Any], kind: str, table: str, column: str) -> bool:
    statement = sql.SQL(STATEMENTS[kind]).format(table=sql.Identifier(table), column=sql.Identifier(column))
    try:
        connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def insert_event(connection: Connection[Any], harness: RunHarness, **facts: object) -> dict[str, Any]:
    """Insert an event with these facts; returns the row. ``connection`` has claimed to be the operator."""
    row = {
        "organisation_id": harness.organisation.id,
        "actor_kind": "USER",
        "actor_id": harness.operator.id,
        "actor_name": "Eve",
        "data": "{}",
        "created_at": "2020-01-01Z",
    } | facts
    names, values = sql.SQL(", ").join(map(sql.Identifier, row)), sql.SQL(", ").join(map(sql.Literal, row.values()))
    inserted = sql.SQL("INSERT INTO events ({}) VALUES ({}) RETURNING *").format(names, values)
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        stored = cursor.execute(inserted).fetchone()
    assert stored is not None
    return stored


def newest_event(connection: Connection[Any]) -> UUID:
    found = connection.execute("SELECT newest_event()").fetchone()
    assert found is not None
    newest: UUID = found[0]
    return newest


FORGED = {"id": HIGHEST_ID, "rank": 2**62, "sequence": 2**62}


def test_a_caller_chooses_neither_the_id_nor_the_place_of_an_event_of_a_tenant(
    situations: dict[str, RunHarness], attacker: Connection[Any]
) -> None:
    harness = situations["ACTIVE"]
    last = harness.tenant().last_sequence

    with attack(attacker, harness):
        attacker.execute("UPDATE tenants SET last_sequence = last_sequence + 1, last_rank = 4611686018427387904")
        stored = insert_event(attacker, harness, tenant_id=harness.tenant_id, type="tenant.suspended", **FORGED)
        counters = attacker.execute("SELECT last_sequence, last_rank FROM tenants").fetchall()
        newest = newest_event(attacker)

    assert stored["id"] != HIGHEST_ID
    assert newest != HIGHEST_ID
    assert (stored["id"].version, stored["sequence"], stored["rank"]) == (7, last + 1, stored["transaction_id"])
    assert counters == [(last + 1, stored["transaction_id"])]


@pytest.mark.parametrize("role", ["tenantry_api", "tenantry_manager", "tenantry_support"])
def test_a_caller_chooses_neither_the_id_nor_the_place_of_an_event_without_a_tenant(
    database_url: str, situations: dict[str, RunHarness], role: str
) -> None:
    harness = situations["ACTIVE"]
    facts = {name: value for name, value in FORGED.items() if name != "sequence"}

    with logged_in(database_url, role) as connection, attack(connection, harness):
        stored = insert_event(connection, harness, type="access.denied", **facts)
        assert newest_event(connection) == stored["id"] != HIGHEST_ID

    assert (stored["sequence"], stored["rank"]) == (None, stored["transaction_id"])


SEVERAL_EVENTS = """
    WITH counted AS (
        UPDATE tenants SET last_sequence = last_sequence + %(counted)s RETURNING id, organisation_id
    )
    INSERT INTO events (
        id, organisation_id, tenant_id, sequence, rank, type, actor_kind, actor_id, actor_name, data, created_at
    )
    SELECT gen_random_uuid(), organisation_id, id, 4611686018427387904 - number, number, 'tenant.suspended', 'USER',
        caller_id(), 'Eve', jsonb_build_object('number', number), '2020-01-01Z'
    FROM counted, generate_series(1, %(written)s) AS number
    RETURNING (data ->> 'number')::int, sequence, rank - transaction_id, id, position
"""


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_several_events_of_one_statement_get_the_next_numbers_in_their_order(
    situations: dict[str, RunHarness], attacker: Connection[Any], count: int
) -> None:
    harness = situations["ACTIVE"]
    last = harness.tenant().last_sequence

    with attack(attacker, harness):
        rows = attacker.execute(SEVERAL_EVENTS, {"counted": count, "written": count}).fetchall()

    assert [row[:3] for row in rows] == [(number, last + number, 0) for number in range(1, count + 1)]
    assert rows == sorted(rows, key=lambda row: row[3]) == sorted(rows, key=lambda row: row[4])


@pytest.mark.parametrize(("counted", "written"), [(0, 1), (1, 2), (3, 5)])
def test_one_statement_writes_no_more_events_than_the_tenant_counts(
    situations: dict[str, RunHarness], attacker: Connection[Any], counted: int, written: int
) -> None:
    with attack(attacker, situations["ACTIVE"]), pytest.raises(psycopg.errors.UniqueViolation, match="numbered"):
        attacker.execute(SEVERAL_EVENTS, {"counted": counted, "written": written})


def test_a_new_tenant_has_no_event_that_it_has_not_counted(
    situations: dict[str, RunHarness], front: Connection[Any]
) -> None:
    harness = situations["ACTIVE"]

    with attack(front, harness):
        front.execute("SET LOCAL ROLE tenantry_api")
        front.execute(NEW_TENANT.format(state="PENDING", created_at="clock_timestamp()").encode())
        [(new,)] = front.execute("SELECT id FROM tenants WHERE slug = 'new'").fetchall()
        with pytest.raises(psycopg.errors.CheckViolation, match="numbered"):
            insert_event(front, harness, tenant_id=new, type="tenant.suspended", **FORGED)


def test_an_event_without_the_next_number_of_its_tenant_is_refused(
    situations: dict[str, RunHarness], attacker: Connection[Any]
) -> None:
    harness = situations["ACTIVE"]

    with attack(attacker, harness), pytest.raises(psycopg.errors.UniqueViolation, match="numbered_per_tenant"):
        insert_event(attacker, harness, tenant_id=harness.tenant_id, type="tenant.suspended", **FORGED)


def test_ids_of_callers_events_are_ordered_by_time(
    situations: dict[str, RunHarness], attacker: Connection[Any]
) -> None:
    harness = situations["ACTIVE"]

    with attack(attacker, harness):
        before = new_id()
        stored = []
        for _ in range(3):
            attacker.execute("UPDATE tenants SET last_sequence = last_sequence + 1")
            stored.append(
                insert_event(attacker, harness, tenant_id=harness.tenant_id, type="tenant.resumed", sequence=1)
            )

    ids = [row["id"] for row in stored]
    assert ids == sorted(ids)
    assert abs(ids[0].int - before.int) >> 80 < 60_000, "the same clock as the ids of the product, in milliseconds"
    assert {row["id"].variant for row in stored} == {before.variant}


def test_an_id_from_the_future_that_an_earlier_release_accepted_is_no_anchor(
    database_url: str, situations: dict[str, RunHarness]
) -> None:
    harness = situations["ACTIVE"]

    with psycopg.connect(database_url) as superuser, superuser.transaction(force_rollback=True):
        insert_event(superuser, harness, type="access.denied", id=HIGHEST_ID)
        newest = newest_event(superuser)

    assert newest != HIGHEST_ID


@pytest.mark.parametrize("situation", ["ACTIVE", "DECOMMISSIONED"])
def test_the_time_of_a_callers_change_of_a_tenant_is_the_databases(
    situations: dict[str, RunHarness], attacker: Connection[Any], situation: str
) -> None:
    """An address is kept for a year after ``updated_at`` of its decommissioned tenant."""
    harness = situations[situation]

    with attack(attacker, harness):
        changed = attacker.execute("UPDATE tenants SET updated_at = '2020-01-01Z' RETURNING updated_at").fetchall()

    assert abs(changed[0][0] - harness.read(clock)) < timedelta(minutes=1)


UNPLANNED = """
SELECT DISTINCT pg_proc.proname FROM pg_trigger JOIN pg_proc ON pg_proc.oid = pg_trigger.tgfoid
JOIN pg_language ON pg_language.oid = pg_proc.prolang
WHERE NOT tgisinternal AND tgtype & 1 = 1 AND lanname = 'plpgsql' AND prosrc ~ '\\mSELECT\\M'
    AND NOT coalesce(proconfig, '{}') @> ARRAY['plan_cache_mode=force_generic_plan']
"""
"""Functions of triggers for each row that have a query, and are not told to plan it once."""


def test_triggers_for_each_row_plan_their_queries_once(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute(UNPLANNED).fetchall() == []

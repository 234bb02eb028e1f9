"""Attacks with SQL: as a tenant's own login in the tenants' Postgres, or as a role of the API's callers."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from threading import Event, Thread
from typing import Any, Self

import psycopg
from psycopg import Connection, sql

Login = Connection[Any]
"""A connection as a tenant's own login, in autocommit."""

NOISE = "x" * 7000
"""Almost the longest payload of a notification."""

PRODUCTS_CHANNELS = ("tenantry_feed", "tenantry_cancel")
LOCKS_OF_EARLIER_RELEASES = 0x7E4A
"""The first key of the advisory locks that earlier releases used in the tenants' Postgres."""


def grants_a_right_on_its_own_table(connection: Login, victim: str) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS bait (id int)")
    connection.execute(sql.SQL("GRANT SELECT ON bait TO {}").format(sql.Identifier(victim)))


def grants_a_right_on_its_schema(connection: Login, victim: str) -> None:
    schema, role = sql.Identifier(connection.info.user), sql.Identifier(victim)
    connection.execute(sql.SQL("GRANT ALL ON SCHEMA {} TO {}").format(schema, role))


def grants_a_right_on_a_column(connection: Login, victim: str) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS bait (id int)")
    connection.execute(sql.SQL("GRANT UPDATE (id) ON bait TO {} WITH GRANT OPTION").format(sql.Identifier(victim)))


def grants_a_right_on_a_large_object(connection: Login, victim: str) -> None:
    [(oid,)] = connection.execute("SELECT lo_create(0)").fetchall()
    role = sql.Identifier(victim)
    connection.execute(sql.SQL("GRANT SELECT ON LARGE OBJECT {} TO {}").format(sql.Literal(oid), role))


def grants_rights_on_what_it_creates_later(connection: Login, victim: str) -> None:
    connection.execute(sql.SQL("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {}").format(sql.Identifier(victim)))


def writes_a_policy_for_it(connection: Login, victim: str) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS bait (id int)")
    connection.execute(sql.SQL("CREATE POLICY lure ON bait TO {} USING (true)").format(sql.Identifier(victim)))


TIES: list[Callable[[Login, str], None]] = [
    grants_a_right_on_its_own_table,
    grants_a_right_on_its_schema,
    grants_a_right_on_a_column,
    grants_a_right_on_a_large_object,
    grants_rights_on_what_it_creates_later,
    writes_a_policy_for_it,
]
"""Ways in which a tenant makes an object of its own depend on another tenant's role."""


def creates_large_objects(connection: Login) -> None:
    connection.execute("SELECT lo_create(0) FROM generate_series(1, 3)")


def creates_many_objects_of_every_kind(connection: Login) -> None:
    connection.execute("SELECT lo_create(0) FROM generate_series(1, 450)")
    for number in range(1, 251):
        connection.execute(f"CREATE TABLE many_{number} (id int GENERATED ALWAYS AS IDENTITY)".encode())
    for statement in (
        "CREATE VIEW seen AS SELECT * FROM many_1",
        "CREATE MATERIALIZED VIEW kept AS SELECT * FROM seen",
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE DOMAIN short AS text CHECK (length(value) < 9)",
        "CREATE TABLE moods (mood mood, short short, id serial)",
        "CREATE FUNCTION f(mood) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE PROCEDURE p(INOUT x int) LANGUAGE sql AS 'SELECT 1'",
        "CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int)",
        'CREATE TABLE "a ""quoted"" name; DROP ROLE x" (id int)',
        "CREATE SEQUENCE counted",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    ):
        connection.execute(statement.encode())


OWN_UNDO: Mapping[str, tuple[Callable[[Login], None], str | None]] = {
    "large objects in the database postgres": (creates_large_objects, "postgres"),
    "large objects in the database template1": (creates_large_objects, "template1"),
    "many objects of every kind": (creates_many_objects_of_every_kind, None),
}
"""Objects with which a tenant tries to prevent its own undo, and their database (None: the tenants')."""


def fills_the_queue_of_notify(listener: Login, sender: Login) -> None:
    """A listener in an open transaction reads nothing, so that the notifications of the whole server pile up."""
    listener.execute("LISTEN noise")
    listener.execute("BEGIN")
    listener.execute("SELECT 1")
    with suppress(psycopg.errors.ProgramLimitExceeded):
        for number in range(1000):
            sender.execute("SELECT pg_notify('noise', %s)", [f"{number} {NOISE}"])


BEYOND_ITS_SCHEMA = (
    "CREATE SCHEMA mine",
    "CREATE TABLE public.mine ()",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "ALTER ROLE CURRENT_USER CONNECTION LIMIT 100",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "ALTER SYSTEM SET max_connections = 1",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'cat'",
    "SELECT rolpassword FROM pg_authid",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_create_physical_replication_slot('mine')",
    "CREATE SUBSCRIPTION mine CONNECTION '' PUBLICATION p WITH (connect = false)",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "SET session_replication_role = replica",
)
"""Statements of a tenant's login that Postgres refuses."""

READS_OF_PERSONAL_DATA = (
    "SELECT email FROM members",
    "SELECT * FROM members",
    "SELECT subject FROM members",
    "SELECT id FROM members WHERE email LIKE 'a%'",
    "SELECT id FROM members ORDER BY email",
    "SELECT members FROM members",
    "SELECT count(email) FROM members",
    "COPY members TO STDOUT",
    "SELECT token_sha256 FROM service_accounts",
    "SELECT scopes FROM service_accounts",
    "SELECT * FROM service_accounts",
    "UPDATE members SET role = role RETURNING email",
)
"""Statements that only the role of managers may run."""

CHANGES_OF_ACCESS = (
    "DELETE FROM members",
    "DELETE FROM members WHERE role <> 'OWNER'",
    "UPDATE members SET role = 'OWNER'",
    "UPDATE members SET email = 'eve@shop.example'",
    "UPDATE members SET subject = 'https://login.example sub'",
    "INSERT INTO members (id) VALUES (gen_random_uuid())",
    "UPDATE service_accounts SET token_sha256 = repeat('0', 64)",
    "UPDATE service_accounts SET previous_token_sha256 = repeat('0', 64), previous_token_until = 'infinity'",
    "UPDATE service_accounts SET scopes = '{tenants:write}'",
    "UPDATE service_accounts SET tenant_ids = NULL",
    "UPDATE service_accounts SET revoked_at = NULL",
    "INSERT INTO service_accounts (id) VALUES (gen_random_uuid())",
    "DELETE FROM service_accounts",
    "SELECT id FROM members FOR UPDATE",
)
"""The same."""

NEW_TENANT = """
    INSERT INTO tenants (id, organisation_id, slug, name, region, plan_code, first_admin_email, address, state, version,
                         last_sequence, created_at, updated_at)
    SELECT gen_random_uuid(), organisation_id, 'new', name, region, plan_code, first_admin_email,
           'new-' || right(id::text, 12), '{state}', 1, 0, {created_at}, clock_timestamp()
    FROM tenants
"""
NEW_RUN = """
    INSERT INTO runs (id, organisation_id, tenant_id, address, number, kind, status, started_by_kind, started_by_id,
                      started_by_name, created_at, {columns})
    SELECT gen_random_uuid(), organisation_id, id, address, 9, 'PROVISION', '{status}', 'USER', {starter}, 'Eve',
           clock_timestamp(), {values}
    FROM tenants
"""
FURTHER_STEP = """
    INSERT INTO run_steps (run_id, position, name, title, role, status, interruptible, timeout, max_attempts, attempts,
                           compensation_attempts)
    SELECT id, 99, 'more', 'More', 'STEP', 'WAITING', true, '1 s', 1, 0, 0 FROM runs
"""

CANCELLED_AT_ONCE = """
    UPDATE runs SET cancel_requested_at = now(), cancel_actor_id = caller_id(), status = 'CANCELLED',
        finished_at = now(), due_at = NULL
"""
CHANGES_OF_TENANTS_AND_RUNS: Mapping[str, tuple[str, ...]] = {
    "PENDING": (
        "UPDATE tenants SET state = 'ACTIVE'",
        "UPDATE tenants SET last_sequence = 1000000000",
        "UPDATE tenants SET last_sequence = last_sequence + 11",
        "UPDATE tenants SET last_sequence = last_sequence - 1",
        NEW_TENANT.format(state="ACTIVE", created_at="clock_timestamp()"),
        NEW_TENANT.format(state="PROVISIONING", created_at="clock_timestamp()"),
        NEW_TENANT.format(state="PENDING", created_at="'2020-01-01'"),
        NEW_RUN.format(columns="finished_at", status="SUCCEEDED", starter="caller_id()", values="clock_timestamp()"),
        NEW_RUN.format(columns="due_at", status="QUEUED", starter="gen_random_uuid()", values="clock_timestamp()"),
        NEW_RUN.format(
            columns="due_at, lease_token, lease_until",
            status="QUEUED",
            starter="caller_id()",
            values="clock_timestamp(), gen_random_uuid(), 'infinity'",
        ),
    ),
    "PROVISIONING": (
        "UPDATE tenants SET state = 'ACTIVE'",
        "UPDATE tenants SET state = 'PENDING'",
        "UPDATE tenants SET state = 'FAILED'",
        "UPDATE tenants SET version = version - 1",
        "UPDATE tenants SET slug = 'other'",
        "UPDATE tenants SET address = 'other'",
        "UPDATE tenants SET plan_code = 'free'",
        "UPDATE runs SET status = 'SUCCEEDED', finished_at = now(), due_at = NULL",
        "UPDATE runs SET status = 'FAILED', finished_at = now(), due_at = NULL",
        CANCELLED_AT_ONCE,
        "UPDATE runs SET status = 'COMPENSATING'",
        "UPDATE runs SET status = 'STUCK', due_at = NULL",
        "UPDATE runs SET lease_token = gen_random_uuid(), lease_until = 'infinity'",
        "UPDATE runs SET lease_until = 'infinity'",
        "UPDATE runs SET lease_owner = 'eve'",
        "UPDATE runs SET stuck_error = 'call this number'",
        "UPDATE run_steps SET status = 'DONE' WHERE status = 'WAITING'",
        "UPDATE run_steps SET status = 'WAITING' WHERE status = 'DONE'",
        "UPDATE run_steps SET status = 'COMPENSATED' WHERE status = 'DONE'",
        "UPDATE run_steps SET status = 'FAILED'",
        "UPDATE run_steps SET status = 'ABANDONED' WHERE name = 'allocate_storage'",
        "UPDATE resources SET status = 'ABANDONED', abandoned_reason = 'mine'",
        "UPDATE resources SET status = 'INTENDED'",
        FURTHER_STEP,
    ),
    "ACTIVE": (
        "UPDATE tenants SET state = 'DECOMMISSIONED'",
        "UPDATE tenants SET state = 'PENDING'",
        "UPDATE tenants SET address = 'other'",
        "UPDATE tenants SET first_admin_email = 'eve@shop.example'",
        "UPDATE runs SET status = 'RUNNING', finished_at = NULL, due_at = now()",
        "UPDATE runs SET finished_at = '2020-01-01'",
        "UPDATE runs SET cancel_requested_at = now(), cancel_actor_id = caller_id()",
        "UPDATE run_steps SET status = 'WAITING' WHERE role = 'STEP'",
    ),
    "DECOMMISSIONING": (
        "UPDATE tenants SET state = 'DECOMMISSIONED'",
        "UPDATE tenants SET state = 'ACTIVE'",
        "UPDATE runs SET status = 'DECOMMISSIONED', finished_at = now(), due_at = NULL",
        "UPDATE runs SET cancel_requested_at = now(), cancel_actor_id = caller_id() WHERE finished_at IS NULL",
    ),
    "CANCELLING": (
        "UPDATE tenants SET state = 'PENDING'",
        "UPDATE runs SET cancel_reason = 'Ada asked for it'",
        "UPDATE runs SET cancel_actor_id = gen_random_uuid(), cancel_actor_name = 'Ada'",
        "UPDATE runs SET cancel_requested_at = NULL, cancel_actor_id = NULL, status = 'RUNNING'",
        "UPDATE runs SET status = 'CANCELLED', finished_at = now(), due_at = NULL",
    ),
    "STUCK": (
        "UPDATE runs SET stuck_error = 'call this number'",
        "UPDATE runs SET status = 'SUCCEEDED', finished_at = now()",
        "UPDATE runs SET status = 'FAILED', finished_at = now()",
        "UPDATE run_steps SET status = 'ABANDONED' WHERE status = 'COMPENSATION_FAILED'",
        "UPDATE resources SET status = 'INTENDED' WHERE status = 'HELD'",
    ),
    "DECOMMISSIONED": (
        "UPDATE tenants SET state = 'ACTIVE'",
        "UPDATE tenants SET name = 'Other'",
        "UPDATE tenants SET slug = 'other'",
        "UPDATE tenants SET version = version + 1",
    ),
}
"""Statements of a caller's role that the database refuses, by the state of the tenant or its run. The role may write
each of these columns, with other values."""


class TenantsLogin:
    """A tenant's own login that uses every right it has against another tenant, until the end of the block."""

    def __init__(self, connect: Callable[[str | None], Login], victim: str) -> None:
        self._connect = connect
        self._victim = victim
        self._stack = ExitStack()
        self._stopped = Event()

    def __enter__(self) -> Self:
        self._listener = self._open()
        self._hold_locks_and_listen()
        self._hold_transactions()
        self._flood = Thread(target=self._notify, daemon=True)
        self._flood.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._flood.join()
        self._stack.close()

    def heard(self) -> list[str]:
        """What it received on the product's channels, without its own notifications."""
        return [notice.payload for notice in self._listener.notifies(timeout=0.5) if notice.payload != NOISE]

    def _open(self, database: str | None = None) -> Login:
        return self._stack.enter_context(closing(self._connect(database)))

    def _hold_locks_and_listen(self) -> None:
        for channel in PRODUCTS_CHANNELS:
            self._listener.execute(f"LISTEN {channel}".encode())
        for name in (self._victim, self._listener.info.user):
            keys = [LOCKS_OF_EARLIER_RELEASES, name]
            self._listener.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", keys)
        self._listener.execute("SELECT pg_advisory_lock(%s, 0)", [LOCKS_OF_EARLIER_RELEASES])

    def _hold_transactions(self) -> None:
        for database in (None, "postgres"):
            creates_large_objects(self._open(database))
            connection = self._open(database)
            connection.execute("BEGIN")
            creates_large_objects(connection)
            if database is None:
                grants_a_right_on_its_own_table(connection, self._victim)

    def _notify(self) -> None:
        with suppress(psycopg.Error), closing(self._connect(None)) as connection:
            while not self._stopped.wait(0.02):
                connection.execute("SELECT pg_notify('tenantry_cancel', %s) FROM generate_series(1, 20)", [NOISE])

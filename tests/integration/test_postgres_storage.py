"""A tenant's storage is a Postgres schema owned by a login role without other privileges."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from adapters import storage_tombstones as tombstones
from adapters import tenant_schema
from adapters.absence import StillPresent
from adapters.postgres_storage import PostgresStorage, StorageMissing
from adapters.sealing import Seal
from provisioning.ports import Refused
from provisioning.resource_names import ResourceNames
from tests.builders import fresh_names
from tests.conftest import SECRET_KEY
from tests.waiting import lock_waits, wait_until

SEAL = Seal(SecretStr(SECRET_KEY))


@pytest.fixture
def storage(database_url: str) -> PostgresStorage:
    return PostgresStorage(database_url, SEAL)


@pytest.fixture
def ordinary(database_url: str) -> Iterator[str]:
    """The URL of a database for a login that may only create roles and schemas."""
    user, database = f"operator_{uuid4().hex[:8]}", f"tenants_{uuid4().hex[:8]}"
    names = sql.Identifier(user), sql.Identifier(database)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD 'operator'").format(names[0]))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(names[1]))
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {1} TO {0}").format(*names))
    yield make_conninfo(database_url, user=user, password="operator", dbname=database)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[1]))
        connection.execute(sql.SQL("DROP ROLE {}").format(names[0]))


def log_in(url: str, names: ResourceNames) -> psycopg.Connection[tuple[object, ...]]:
    password = PostgresStorage(url, SEAL).password(names)
    return psycopg.connect(make_conninfo(url, user=names.role, password=password), autocommit=True)


def query_rows(url: str, query: str, *values: object) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode(), values).fetchall()


def test_the_role_is_an_ordinary_login_with_a_connection_limit(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()

    storage.create(names)

    query = """
        SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolinherit, rolreplication, rolbypassrls,
               rolconnlimit, rolconfig
        FROM pg_roles WHERE rolname = %s
    """
    assert query_rows(database_url, query, names.role) == [
        (True, False, False, False, False, False, False, 20, [f"search_path={names.schema}"])
    ]


def test_only_the_owner_role_may_use_its_schema(storage: PostgresStorage, database_url: str) -> None:
    names, other = fresh_names(), fresh_names()
    storage.create(names)
    storage.create(other)
    storage.migrate(names)

    owner = query_rows(
        database_url, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = %s", names.schema
    )
    with log_in(database_url, other) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(sql.SQL("SELECT * FROM {}.users").format(sql.Identifier(names.schema)))

    assert owner == [(names.role,)]


def test_the_role_has_no_access_to_the_control_plane(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()
    storage.create(names)

    with log_in(database_url, names) as connection:
        for table in ("public.tenants", "public.signing_keys", "tenantry_outside.destroyed"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT * FROM {table}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.mine ()")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE SCHEMA mine")


def test_postgres_stores_the_password_as_a_scram_verifier_only(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()

    storage.create(names)

    [(verifier,)] = query_rows(database_url, "SELECT rolpassword FROM pg_authid WHERE rolname = %s", names.role)
    scheme, iterations_and_salt, keys = str(verifier).split("$")
    iterations, salt = iterations_and_salt.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", storage.password(names).encode(), base64.b64decode(salt), int(iterations))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert (scheme, keys.split(":")[0]) == ("SCRAM-SHA-256", base64.b64encode(stored).decode())


def test_two_tenants_have_different_passwords(storage: PostgresStorage) -> None:
    assert storage.password(fresh_names()) != storage.password(fresh_names())


def test_migrating_creates_the_tenants_tables(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()
    storage.create(names)

    storage.migrate(names)
    storage.migrate(names)

    tables = query_rows(
        database_url,
        "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = %s ORDER BY 1",
        names.schema,
    )
    assert tables == [(name, names.role) for name in ("audit_log", "schema_version", "sessions", "users")]


def test_every_version_is_applied_once(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()
    storage.create(names)

    storage.migrate(names)
    storage.migrate(names)

    with log_in(database_url, names) as connection:
        applied = connection.execute("SELECT number, title FROM schema_version ORDER BY number").fetchall()
    assert applied == [(version.number, version.title) for version in tenant_schema.VERSIONS]


def test_versions_are_numbered_from_one() -> None:
    assert [version.number for version in tenant_schema.VERSIONS] == list(range(1, len(tenant_schema.VERSIONS) + 1))


def test_migrating_missing_storage_raises_and_may_be_retried(storage: PostgresStorage) -> None:
    with pytest.raises(StorageMissing):
        storage.migrate(fresh_names())


def test_migrating_destroyed_storage_is_refused(storage: PostgresStorage) -> None:
    names = fresh_names()
    storage.create(names)
    storage.destroy(names)

    with pytest.raises(Refused):
        storage.migrate(names)

    assert storage.present(names) == []


def test_destroying_terminates_open_connections(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()
    storage.create(names)
    storage.migrate(names)
    client = log_in(database_url, names)
    client.autocommit = False
    client.execute("LOCK TABLE users")

    storage.destroy(names)

    assert storage.present(names) == []
    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT 1")
    client.close()


def test_a_login_during_a_destruction_is_refused(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()
    storage.create(names)
    storage.migrate(names)

    with ThreadPoolExecutor() as pool, psycopg.connect(database_url) as connection:
        connection.execute(sql.SQL("LOCK TABLE {}.users").format(sql.Identifier(names.schema)))
        destruction = pool.submit(storage.destroy, names)
        wait_until(lambda: lock_waits(database_url) == 1)
        with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
            log_in(database_url, names)
        connection.commit()
        destruction.result(10)

    assert storage.present(names) == []


def test_destroying_removes_the_objects_that_the_tenant_created(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()
    storage.create(names)
    with log_in(database_url, names) as connection:
        connection.execute("CREATE TABLE mine (x int)")
        connection.execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        connection.execute("SELECT lo_create(0)")
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")

    storage.destroy(names)

    assert storage.present(names) == []


def test_a_schema_that_still_exists_after_its_destruction_raises(storage: PostgresStorage, database_url: str) -> None:
    names = fresh_names()
    storage.create(names)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL(
                "CREATE FUNCTION public.put_back() RETURNS event_trigger LANGUAGE plpgsql AS"
                " $$ BEGIN EXECUTE 'CREATE SCHEMA ' || {}; END $$"
            ).format(sql.Literal(names.schema))
        )
        connection.execute(
            "CREATE EVENT TRIGGER puts_back ON ddl_command_end WHEN TAG IN ('DROP SCHEMA')"
            " EXECUTE FUNCTION public.put_back()"
        )
        try:
            with pytest.raises(StillPresent) as refusal:
                storage.destroy(names)
        finally:
            connection.execute("DROP EVENT TRIGGER puts_back")
            connection.execute("DROP FUNCTION public.put_back()")

    assert refusal.value.names == [names.schema]
    storage.destroy(names)
    assert storage.present(names) == []


@pytest.mark.parametrize(("first", "second"), [("destroy", "create"), ("create", "destroy")])
def test_of_a_creation_and_a_destruction_at_once_nothing_is_left(
    storage: PostgresStorage, database_url: str, first: str, second: str
) -> None:
    names = fresh_names()

    with ThreadPoolExecutor() as pool, psycopg.connect(database_url) as connection:
        storage.destroy(fresh_names())  # creates the tables of tombstones and locks
        tombstones.lock(connection, names.schema)
        connection.commit()  # from now on the lock is an existing row, for which others wait in order
        tombstones.lock(connection, names.schema)
        calls = {first: pool.submit(getattr(storage, first), names)}
        wait_until(lambda: lock_waits(database_url) == 1)
        calls[second] = pool.submit(getattr(storage, second), names)
        wait_until(lambda: lock_waits(database_url) == 2)
        connection.commit()

        calls["destroy"].result(10)
        with pytest.raises(Refused) if second == "create" else nullcontext():
            calls["create"].result(10)

    assert storage.present(names) == []


def session_of(storage: PostgresStorage) -> tuple[object, ...]:
    """The session of the next call: its process, its login and its role, and what a step may have changed."""
    with storage._transaction() as connection:
        shown = "SELECT pg_backend_pid(), session_user, current_user, current_setting('search_path')"
        row = connection.execute(shown).fetchone()
    assert row is not None
    return tuple(row)


def test_calls_share_a_connection_that_no_step_leaves_changed(storage: PostgresStorage) -> None:
    names, before = fresh_names(), session_of(storage)
    with pytest.raises(StorageMissing):
        storage.migrate(names)
    for call in (storage.create, storage.migrate, storage.destroy):
        call(names)
        assert session_of(storage) == before


@pytest.mark.parametrize("at", ["between two calls", "in a call"])
def test_a_connection_that_the_server_closed_is_replaced(storage: PostgresStorage, database_url: str, at: str) -> None:
    def end_session() -> None:
        query_rows(database_url, "SELECT pg_terminate_backend(%s, 10000)", before[0])

    before = session_of(storage)
    if at == "in a call":
        with storage._transaction() as connection:
            end_session()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
    else:
        end_session()

    after = session_of(storage)
    assert after[0] != before[0]
    assert after[1:] == before[1:]


def test_a_login_with_createrole_can_create_migrate_and_destroy(ordinary: str) -> None:
    storage, names = PostgresStorage(ordinary, SEAL), fresh_names()

    storage.create(names)
    storage.create(names)
    storage.migrate(names)
    client = log_in(ordinary, names)
    found = storage.present(names)
    storage.destroy(names)

    assert found == [names.schema, names.role]
    assert storage.present(names) == []
    client.close()


def test_simultaneous_first_creations_succeed(ordinary: str) -> None:
    storage = PostgresStorage(ordinary, SEAL)
    all_names = [fresh_names() for _ in range(6)]

    with ThreadPoolExecutor(6) as pool:
        for finished in [pool.submit(storage.create, names) for names in all_names]:
            finished.result(20)

    assert [storage.present(names) for names in all_names] == [[names.schema, names.role] for names in all_names]
    for names in all_names:
        storage.destroy(names)

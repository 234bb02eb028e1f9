"""What a tenant's own database login can do to others: every attack is tried as that login."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from provisioning.resource_names import ResourceNames
from tests.builders import fresh_names
from tests.conftest import SECRET_KEY
from tests.scratch_database import scratch_database
from tests.sql_attacks import (
    BEYOND_ITS_SCHEMA,
    OWN_UNDO,
    TIES,
    Login,
    grants_a_right_on_a_large_object,
    grants_a_right_on_its_own_table,
)

SEAL = Seal(SecretStr(SECRET_KEY))


@pytest.fixture(params=["superuser", "login with CREATEROLE"])
def url(database_url: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the tenants' database, for each kind of login that the product may have there."""
    with scratch_database(database_url) as url:
        if request.param == "superuser":
            yield url
            return
        user = f"operator_{uuid4().hex[:8]}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {user} LOGIN CREATEROLE PASSWORD 'operator'".encode())
            connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO {user}".encode())
            yield make_conninfo(url, user=user, password="operator")
            connection.execute(f"DROP OWNED BY {user} CASCADE; DROP ROLE {user}".encode())


@pytest.fixture
def storage(url: str) -> PostgresStorage:
    return PostgresStorage(url, SEAL)


@pytest.fixture
def attacker(storage: PostgresStorage) -> Iterator[ResourceNames]:
    names = fresh_names()
    storage.create(names)
    storage.migrate(names)
    yield names
    storage.destroy(names)


@pytest.fixture
def victim(storage: PostgresStorage) -> ResourceNames:
    names = fresh_names()
    storage.create(names)
    storage.migrate(names)
    return names


def log_in(storage: PostgresStorage, names: ResourceNames, **options: Any) -> Login:
    conninfo = make_conninfo(storage._url, user=names.role, password=storage.password(names), **options)
    return psycopg.connect(conninfo, autocommit=True)


@pytest.mark.parametrize("attack", OWN_UNDO)
def test_a_tenant_cannot_prevent_its_own_undo_with_objects(
    storage: PostgresStorage, victim: ResourceNames, attack: str
) -> None:
    create, database = OWN_UNDO[attack]
    with closing(log_in(storage, victim, **({"dbname": database} if database else {}))) as connection:
        create(connection)

    storage.destroy(victim)

    assert storage.present(victim) == []


def test_a_tenant_cannot_prevent_its_own_undo_with_open_transactions(
    storage: PostgresStorage, victim: ResourceNames
) -> None:
    with ExitStack() as stack:
        for where in ({}, {"dbname": "postgres"}):
            connection = stack.enter_context(closing(log_in(storage, victim, **where)))
            connection.execute("BEGIN")
            connection.execute("CREATE TEMPORARY TABLE held (id int)")
            connection.execute("SELECT lo_create(0)")

        storage.destroy(victim)

    assert storage.present(victim) == []


def grants_a_right_on_a_large_object_elsewhere(connection: Login, victim: str) -> None:
    """In another database, where a tenant can create large objects only."""
    grants_a_right_on_a_large_object(connection, victim)


@pytest.mark.parametrize("tie", [*TIES, grants_a_right_on_a_large_object_elsewhere], ids=lambda tie: tie.__name__)
def test_another_tenant_cannot_prevent_an_undo_with_a_grant(
    storage: PostgresStorage, attacker: ResourceNames, victim: ResourceNames, tie: Callable[[Login, str], None]
) -> None:
    where = {"dbname": "postgres"} if tie is grants_a_right_on_a_large_object_elsewhere else {}
    with closing(log_in(storage, attacker, **where)) as connection:
        tie(connection, victim.role)

        storage.destroy(victim)

    assert storage.present(victim) == []
    assert storage.present(attacker) == [attacker.schema, attacker.role]


@pytest.mark.parametrize("tie", TIES, ids=lambda tie: tie.__name__)
def test_another_tenant_cannot_prevent_an_undo_with_an_open_transaction(
    storage: PostgresStorage, attacker: ResourceNames, victim: ResourceNames, tie: Callable[[Login, str], None]
) -> None:
    """The grant of an open transaction holds a lock on the victim's role until the transaction ends."""
    with closing(log_in(storage, attacker)) as connection:
        connection.execute("BEGIN")
        tie(connection, victim.role)

        storage.destroy(victim)

        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert storage.present(victim) == []


def test_another_tenant_cannot_prevent_an_undo_by_repeating_its_open_transaction(
    storage: PostgresStorage, attacker: ResourceNames, victim: ResourceNames
) -> None:
    stopped = Event()

    def attack() -> None:
        while not stopped.is_set():
            with suppress(psycopg.Error), closing(log_in(storage, attacker)) as connection:
                connection.execute("BEGIN")
                grants_a_right_on_its_own_table(connection, victim.role)
                while not stopped.is_set():
                    connection.execute("SELECT pg_sleep(0.05)")

    attackers = [Thread(target=attack) for _ in range(6)]
    for each in attackers:
        each.start()
    try:
        storage.destroy(victim)
    finally:
        stopped.set()
        for each in attackers:
            each.join()

    assert storage.present(victim) == []


def test_an_operators_session_that_blocks_an_undo_is_not_ended(
    storage: PostgresStorage, url: str, victim: ResourceNames
) -> None:
    with closing(psycopg.connect(url)) as operator:
        operator.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(victim.role)))
        operator.execute(sql.SQL("LOCK TABLE {}.users").format(sql.Identifier(victim.schema)))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            storage.destroy(victim)
        operator.execute("SELECT 1")

    storage.destroy(victim)

    assert storage.present(victim) == []


def test_a_tenants_login_cannot_hold_the_lock_of_a_name(
    storage: PostgresStorage, attacker: ResourceNames, victim: ResourceNames
) -> None:
    """Storage used advisory locks. A tenant's login can compute their keys."""
    with closing(log_in(storage, attacker)) as connection:
        for key in (victim.schema, victim.role):
            connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [0x7E4A, key])
        connection.execute("SELECT pg_advisory_lock(%s, 0)", [0x7E4A])
        fresh = fresh_names()

        storage.create(fresh)
        storage.destroy(fresh)
        storage.destroy(victim)

        for statement in (
            "SELECT * FROM tenantry_outside.locks FOR UPDATE",
            "LOCK TABLE tenantry_outside.locks",
            "DELETE FROM tenantry_outside.destroyed",
            "CREATE TABLE tenantry_outside.mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(statement.encode())
    assert storage.present(victim) == []


@pytest.mark.parametrize("statement", BEYOND_ITS_SCHEMA)
def test_a_tenants_login_has_no_right_beyond_its_schema(
    storage: PostgresStorage, attacker: ResourceNames, statement: str
) -> None:
    with closing(log_in(storage, attacker)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_a_tenants_login_cannot_end_the_session_of_another(
    storage: PostgresStorage, attacker: ResourceNames, victim: ResourceNames
) -> None:
    with closing(log_in(storage, attacker)) as connection, closing(log_in(storage, victim)) as other:
        for function in ("pg_terminate_backend", "pg_cancel_backend"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT {function}(%s)".encode(), [other.info.backend_pid])
        other.execute("SELECT 1")
    storage.destroy(victim)


def test_an_undo_of_nothing_needs_no_rights(database_url: str) -> None:
    """A login without CREATEROLE and CREATE could not create storage, so there is nothing to undo."""
    names = fresh_names()
    with scratch_database(database_url) as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE powerless LOGIN")
        try:
            storage = PostgresStorage(make_conninfo(url, user="powerless"), SEAL)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                storage.create(names)

            storage.destroy(names)

            # The schema of tombstones exists, but the login still may not create a role.
            PostgresStorage(url, SEAL).destroy(fresh_names())
            connection.execute("GRANT USAGE ON SCHEMA tenantry_outside TO powerless")
            connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA tenantry_outside TO powerless")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                storage.create(names)
            storage.destroy(names)
            assert storage.present(names) == []
        finally:
            connection.execute("DROP OWNED BY powerless; DROP ROLE powerless")


def test_an_undo_of_something_still_needs_rights(database_url: str) -> None:
    names = fresh_names()
    with scratch_database(database_url) as url, psycopg.connect(url, autocommit=True) as connection:
        PostgresStorage(url, SEAL).create(names)
        connection.execute("CREATE ROLE powerless LOGIN")
        try:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                PostgresStorage(make_conninfo(url, user="powerless"), SEAL).destroy(names)
        finally:
            connection.execute("DROP ROLE powerless")

        assert PostgresStorage(url, SEAL).present(names) == [names.schema, names.role]
        PostgresStorage(url, SEAL).destroy(names)

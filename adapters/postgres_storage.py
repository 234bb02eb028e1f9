"""A tenant's storage in the tenants' Postgres: a schema with its login role, which owns nothing else."""

import base64
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import QueuePool
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from adapters import storage_tombstones as tombstones
from adapters import tenant_schema
from adapters.absence import confirm_absent
from adapters.sealing import Seal
from adapters.tenant_objects import act_as, end_sessions, ending_blockers, remove_all
from provisioning.ports import TryAgain
from provisioning.resource_names import ResourceNames
from runtime.connections import PINNED, connect

CONNECT_SECONDS = 3

KEPT_CONNECTIONS = 4
"""Connections that a process keeps for its next calls: to open one costs more CPU, some 6 ms, than most calls."""

KEPT_FOR = 3
"""Seconds for which a connection is kept, also when it is idle: where connections are scarce, others get them then."""

SESSION = {
    **PINNED,
    # Short, because an undo waits for the statements that its step left running here.
    "statement_timeout": "5s",
    "lock_timeout": "3s",
    "idle_in_transaction_session_timeout": "30s",
    "idle_session_timeout": f"{KEPT_FOR}s",
    # A tenant may create functions in the schema public of some clusters.
    "search_path": "pg_catalog, pg_temp",
}
"""The settings of a session in the tenants' Postgres."""

CONNECTIONS_PER_TENANT = 20


class StorageMissing(TryAgain):
    """The tenant's schema or role does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The tenants' Postgres has no schema and role {name}.")


class PostgresStorage:
    """Works with a superuser, and with a user that has CREATEROLE and may create schemas.

    The role's password is derived from the installation's secret key, so it need not be stored.
    """

    def __init__(self, url: str, seal: Seal) -> None:
        self._url = url
        self._connect = partial(_connect, url)
        self._seal = seal
        self._pool = QueuePool(
            lambda: cast("Any", _connect(url)),
            pool_size=KEPT_CONNECTIONS,
            max_overflow=-1,  # the limit of calls is elsewhere
            use_lifo=True,  # so that the rest become idle, and the server closes them
            pre_ping=True,
            dialect=PGDialect_psycopg(dbapi=psycopg),  # type: ignore[no-untyped-call]  # SQLAlchemy declares no types
        )
        weakref.finalize(self, self._pool.dispose)

    def create(self, names: ResourceNames) -> None:
        """Create role and schema unless they exist. Raises Refused once they were destroyed."""
        with self._exclusive(names) as connection:
            tombstones.refuse_destroyed(connection, names.schema)
            if not _exists(connection, "pg_roles", "rolname", names.role):
                _create_role(connection, names.role, self.password(names))
            if not _exists(connection, "pg_namespace", "nspname", names.schema):
                _create_schema(connection, names)

    def migrate(self, names: ResourceNames) -> None:
        """Migrate the tenant's tables to their newest version. Raises Refused and StorageMissing."""
        with self._exclusive(names) as connection:
            tombstones.refuse_destroyed(connection, names.schema)
            if not _everything_exists(connection, names):
                raise StorageMissing(names.schema)
            # Safe only because there was no login as the tenant yet: a trigger made by the tenant could reset the role.
            act_as(connection, names.role)
            connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(names.schema)))
            tenant_schema.migrate(connection)

    def destroy(self, names: ResourceNames) -> None:
        """Drop schema and role with all contents and connections, and refuse the name from now on."""
        try:
            # Committed first, to prevent a new creation or login while schema and role are dropped.
            role_exists = self._bury(names)
        except InsufficientPrivilege:
            if self.present(names):
                raise
            return  # a login that may not write the tombstone has created nothing, and cannot create it later
        if role_exists:
            remove_all(self._connect, names.role)
        with self._exclusive(names) as connection, ending_blockers(self._connect, connection):
            _drop(connection, names)
        confirm_absent(self.present(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Return the names of the schema and the role that exist."""
        with self._transaction() as connection:
            schema = _exists(connection, "pg_namespace", "nspname", names.schema)
            role = _exists(connection, "pg_roles", "rolname", names.role)
        return [names.schema] * schema + [names.role] * role

    def password(self, names: ResourceNames) -> str:
        """The password of the tenant's role, for its workload."""
        return base64.urlsafe_b64encode(self._seal.derive(f"password of {names.role}")).decode()

    def _bury(self, names: ResourceNames) -> bool:
        """Refuse the name and logins from now on. Returns whether the role exists."""
        with self._exclusive(names) as connection:
            tombstones.bury(connection, names.schema)
            role_exists = _exists(connection, "pg_roles", "rolname", names.role)
            if role_exists:
                connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(names.role)))
        return role_exists

    @contextmanager
    def _exclusive(self, names: ResourceNames) -> Iterator[Connection[Any]]:
        with self._transaction() as connection:
            tombstones.prepare(connection)
            tombstones.lock(connection, names.schema)
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection[Any]]:
        """A transaction on a connection of the pool."""
        pooled = self._pool.connect()
        connection = cast("Connection[Any]", pooled.driver_connection)
        opened_at = pooled.info.setdefault("opened_at", time.monotonic())
        try:
            with connection.transaction():
                yield connection
        finally:
            if connection.closed or time.monotonic() - opened_at > KEPT_FOR:
                pooled.invalidate()
            pooled.close()


def _connect(url: str, database: str | None = None) -> Connection[Any]:
    """Connect to the tenants' database, or to another database of its server. The caller closes the connection.

    What a tenant owns is removed on such a connection: those of the pool never change their role and settings.
    """
    address = make_conninfo(url, dbname=database) if database else url
    return connect(address, "tenantry-storage", SESSION, connect_timeout=CONNECT_SECONDS)


def _exists(connection: Connection[Any], catalogue: str, column: str, name: str) -> bool:
    query = sql.SQL("SELECT 1 FROM pg_catalog.{} WHERE {} = %s")
    found = connection.execute(query.format(sql.Identifier(catalogue), sql.Identifier(column)), [name]).fetchone()
    return found is not None


def _everything_exists(connection: Connection[Any], names: ResourceNames) -> bool:
    return _exists(connection, "pg_roles", "rolname", names.role) and _exists(
        connection, "pg_namespace", "nspname", names.schema
    )


def _create_role(connection: Connection[Any], role: str, password: str) -> None:
    # Hashed by the client: the server and its log never get the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN NOINHERIT CONNECTION LIMIT {} PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(CONNECTIONS_PER_TENANT), sql.Literal(verifier)
        )
    )
    connection.execute(sql.SQL("ALTER ROLE {0} SET search_path = {0}").format(sql.Identifier(role)))


def _create_schema(connection: Connection[Any], names: ResourceNames) -> None:
    schema, role = sql.Identifier(names.schema), sql.Identifier(names.role)
    # A user that is not a superuser needs membership in a role to act for it.
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
    connection.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(schema, role))
    act_as(connection, names.role)
    connection.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(schema))


def _drop(connection: Connection[Any], names: ResourceNames) -> None:
    """Drop what is left. A login without CREATEROLE may not even try to drop a role that does not exist."""
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(names.schema)))
    if _exists(connection, "pg_roles", "rolname", names.role):
        end_sessions(connection, names.role)
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(names.role)))

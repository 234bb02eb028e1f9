"""A tenant's storage: a schema, and the login role that owns it and nothing else, in the tenants' Postgres."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import Connection, sql

from adapters import storage_tombstones as tombstones
from adapters import tenant_schema
from adapters.absence import confirm_absent
from adapters.sealing import Seal
from provisioning.ports import TryAgain
from provisioning.resource_names import ResourceNames
from runtime.database import TCP_KEEPALIVE

CONNECT_SECONDS = 3
LIMITS = {"statement_timeout": "5s", "lock_timeout": "3s", "idle_in_transaction_session_timeout": "30s"}
"""Short, because an undo waits for whatever its step left under way here."""

CONNECTIONS_PER_TENANT = 20


class StorageMissing(TryAgain):
    """The tenant's schema or role is not there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no schema and role called {name} in the tenants' Postgres.")


class PostgresStorage:
    """Works as a superuser, and as an ordinary user with CREATEROLE and the right to create schemas.

    The role's password is derived from the installation's secret, so it is kept nowhere and can be had again.
    """

    def __init__(self, url: str, seal: Seal) -> None:
        self._url = url
        self._seal = seal

    def create(self, names: ResourceNames) -> None:
        """Make role and schema unless they are there. Raises Refused once they were destroyed."""
        with self._alone_with(names) as connection:
            tombstones.refuse_buried(connection, names.schema)
            if not _exists(connection, "pg_roles", "rolname", names.role):
                _create_role(connection, names.role, self.password(names))
            if not _exists(connection, "pg_namespace", "nspname", names.schema):
                _create_schema(connection, names)

    def migrate(self, names: ResourceNames) -> None:
        """Bring the tenant's tables to their newest version. Raises Refused and StorageMissing."""
        with self._alone_with(names) as connection:
            tombstones.refuse_buried(connection, names.schema)
            if not _everything_exists(connection, names):
                raise StorageMissing(names.schema)
            # Safe only because nobody has logged in as the tenant yet: a trigger of its making could leave the role.
            _become(connection, names.role)
            connection.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(names.schema)))
            tenant_schema.bring_up_to_date(connection)

    def destroy(self, names: ResourceNames) -> None:
        """Drop schema and role with everything in them, whoever is connected, and refuse the name from now on."""
        # Committed first, so that nobody creates it or logs in again while the second transaction clears it away.
        with self._alone_with(names) as connection:
            tombstones.bury(connection, names.schema)
            if _exists(connection, "pg_roles", "rolname", names.role):
                connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(names.role)))
        with self._alone_with(names) as connection:
            _drop(connection, names)
        confirm_absent(self.present(names))

    def present(self, names: ResourceNames) -> list[str]:
        """Give the schema and the role, as far as they exist."""
        with self._transaction() as connection:
            schema = _exists(connection, "pg_namespace", "nspname", names.schema)
            role = _exists(connection, "pg_roles", "rolname", names.role)
        return [names.schema] * schema + [names.role] * role

    def password(self, names: ResourceNames) -> str:
        """What the tenant's workload logs in with."""
        return base64.urlsafe_b64encode(self._seal.derive(f"password of {names.role}")).decode()

    @contextmanager
    def _alone_with(self, names: ResourceNames) -> Iterator[Connection[Any]]:
        with self._transaction() as connection:
            tombstones.prepare(connection)
            tombstones.lock(connection, names.schema)
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection[Any]]:
        with psycopg.connect(
            self._url, connect_timeout=CONNECT_SECONDS, application_name="tenantry-storage", **TCP_KEEPALIVE
        ) as connection:
            for setting, value in LIMITS.items():
                connection.execute("SELECT set_config(%s, %s, true)", [setting, value])
            yield connection


def _exists(connection: Connection[Any], catalogue: str, column: str, name: str) -> bool:
    query = sql.SQL("SELECT 1 FROM pg_catalog.{} WHERE {} = %s")
    found = connection.execute(query.format(sql.Identifier(catalogue), sql.Identifier(column)), [name]).fetchone()
    return found is not None


def _everything_exists(connection: Connection[Any], names: ResourceNames) -> bool:
    return _exists(connection, "pg_roles", "rolname", names.role) and _exists(
        connection, "pg_namespace", "nspname", names.schema
    )


def _create_role(connection: Connection[Any], role: str, password: str) -> None:
    # Hashed on this side: the server, and so its log, never sees the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN NOINHERIT CONNECTION LIMIT {} PASSWORD {}").format(
            sql.Identifier(role), sql.Literal(CONNECTIONS_PER_TENANT), sql.Literal(verifier)
        )
    )
    connection.execute(sql.SQL("ALTER ROLE {0} SET search_path = {0}").format(sql.Identifier(role)))


def _create_schema(connection: Connection[Any], names: ResourceNames) -> None:
    schema, role = sql.Identifier(names.schema), sql.Identifier(names.role)
    # Nobody but a superuser may act for a role that it does not belong to.
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
    connection.execute(sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(schema, role))
    _become(connection, names.role)
    connection.execute(sql.SQL("REVOKE ALL ON SCHEMA {} FROM PUBLIC").format(schema))


def _drop(connection: Connection[Any], names: ResourceNames) -> None:
    schema, role = sql.Identifier(names.schema), sql.Identifier(names.role)
    if _exists(connection, "pg_roles", "rolname", names.role):
        _become(connection, names.role)
        _hang_up(connection, names.role)
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
        connection.execute("SET LOCAL ROLE NONE")
    connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(schema))
    connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))


def _hang_up(connection: Connection[Any], role: str) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid()", [role]
    )


def _become(connection: Connection[Any], role: str) -> None:
    """Act as the tenant's role until the transaction ends: it has the right to its own schema, and no other."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))

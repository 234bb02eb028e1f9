"""The tombstones of destroyed tenant storage, stored in the tenants' Postgres with the rows that lock its names."""

from typing import Any

from psycopg import Connection
from psycopg.errors import DuplicateSchema, DuplicateTable, UniqueViolation

from provisioning.ports import Refused

CREATED_MEANWHILE = (DuplicateSchema, DuplicateTable, UniqueViolation)
"""Errors of a transaction that creates what another one has just created. IF NOT EXISTS does not prevent them."""


def prepare(connection: Connection[Any]) -> None:
    """Create the tables unless they exist. Safe to call from several processes at once."""
    while not _prepared(connection):
        try:
            with connection.transaction():
                _create(connection)
        except CREATED_MEANWHILE:
            continue


def lock(connection: Connection[Any], name: str) -> None:
    """Lock this name until the transaction ends.

    The lock is a row of a table that only the product can use: every tenant's login could hold an advisory lock.
    """
    # Not an upsert: updating the row would let others overtake the one that waits longest.
    while not connection.execute("SELECT 1 FROM tenantry_outside.locks WHERE name = %s FOR UPDATE", [name]).fetchone():
        connection.execute("INSERT INTO tenantry_outside.locks (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])


def bury(connection: Connection[Any], name: str) -> None:
    """Refuse this name from now on."""
    connection.execute("INSERT INTO tenantry_outside.destroyed (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])


def refuse_destroyed(connection: Connection[Any], name: str) -> None:
    """Raise Refused when this name was destroyed. The caller must hold the lock of the name."""
    if connection.execute("SELECT 1 FROM tenantry_outside.destroyed WHERE name = %s", [name]).fetchone():
        raise Refused(f"{name} was destroyed earlier, so it is not created again.")


def _prepared(connection: Connection[Any]) -> bool:
    query = "SELECT count(to_regclass(name)) FROM unnest(%s::text[]) AS name"
    return connection.execute(query, [["tenantry_outside.destroyed", "tenantry_outside.locks"]]).fetchone() == (2,)


def _create(connection: Connection[Any]) -> None:
    if connection.execute("SELECT to_regnamespace('tenantry_outside') IS NULL").fetchone() == (True,):
        connection.execute("CREATE SCHEMA tenantry_outside")
        connection.execute("REVOKE ALL ON SCHEMA tenantry_outside FROM PUBLIC")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS tenantry_outside.destroyed"
        " (name text PRIMARY KEY, destroyed_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )
    connection.execute("CREATE TABLE IF NOT EXISTS tenantry_outside.locks (name text PRIMARY KEY)")

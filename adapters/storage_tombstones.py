"""The tombstones of destroyed tenant storage, stored in the tenants' Postgres."""

from typing import Any

from psycopg import Connection

from provisioning.ports import Refused

LOCKS = 0x7E4A
"""First key of every advisory lock in the tenants' Postgres. The second key is the hash of the locked name."""


def prepare(connection: Connection[Any]) -> None:
    """Create the table unless it exists. Safe to call from several processes at once."""
    if connection.execute("SELECT to_regclass('tenantry_outside.destroyed') IS NOT NULL").fetchone() == (True,):
        return
    # IF NOT EXISTS alone is not safe: of two concurrent transactions that find nothing, one fails.
    connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [LOCKS])
    connection.execute("CREATE SCHEMA IF NOT EXISTS tenantry_outside")
    connection.execute("REVOKE ALL ON SCHEMA tenantry_outside FROM PUBLIC")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS tenantry_outside.destroyed"
        " (name text PRIMARY KEY, destroyed_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )


def lock(connection: Connection[Any], name: str) -> None:
    """Lock this name until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCKS, name])


def bury(connection: Connection[Any], name: str) -> None:
    """Refuse this name from now on."""
    connection.execute("INSERT INTO tenantry_outside.destroyed (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])


def refuse_destroyed(connection: Connection[Any], name: str) -> None:
    """Raise Refused when this name was destroyed. The caller must hold the lock of the name."""
    if connection.execute("SELECT 1 FROM tenantry_outside.destroyed WHERE name = %s", [name]).fetchone():
        raise Refused(f"{name} was destroyed earlier, so it is not created again.")

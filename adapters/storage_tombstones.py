"""Names of tenants' storage that were destroyed, remembered beside the storage itself."""

from typing import Any

from psycopg import Connection

from provisioning.ports import Refused

LOCKS = 0x7E4A
"""First half of every advisory lock taken in the tenants' Postgres; the second tells what is locked."""


def prepare(connection: Connection[Any]) -> None:
    """Make the table unless it is there. Several processes may try at once."""
    if connection.execute("SELECT to_regclass('tenantry_outside.destroyed') IS NOT NULL").fetchone() == (True,):
        return
    # IF NOT EXISTS alone fails when two come at once: both look, both find nothing, one hits the other's row.
    connection.execute("SELECT pg_advisory_xact_lock(%s, 0)", [LOCKS])
    connection.execute("CREATE SCHEMA IF NOT EXISTS tenantry_outside")
    connection.execute("REVOKE ALL ON SCHEMA tenantry_outside FROM PUBLIC")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS tenantry_outside.destroyed"
        " (name text PRIMARY KEY, destroyed_at timestamptz NOT NULL DEFAULT clock_timestamp())"
    )


def lock(connection: Connection[Any], name: str) -> None:
    """Be alone with this name until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCKS, name])


def bury(connection: Connection[Any], name: str) -> None:
    """Refuse this name from now on."""
    connection.execute("INSERT INTO tenantry_outside.destroyed (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])


def refuse_buried(connection: Connection[Any], name: str) -> None:
    """Raise Refused when this name was destroyed. Call it with the name locked."""
    if connection.execute("SELECT 1 FROM tenantry_outside.destroyed WHERE name = %s", [name]).fetchone():
        raise Refused(f"{name} was destroyed earlier, so it is not created again.")

"""Removal of all that a tenant's role owns or was granted, in every database of its server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from psycopg import Connection, sql

Connect = Callable[[str | None], AbstractContextManager[Connection[Any]]]
"""Opens a connection in a transaction to the named database, None for the tenants' own. The block's end commits."""

BATCH = 200
"""Objects that one transaction drops. Each needs a lock, and the server has room for some thousands."""

LOOK_EVERY = 0.2
"""Seconds between two searches for sessions that block a removal."""

DATABASES = """
    SELECT datname FROM pg_database
    WHERE datname <> current_database() AND oid IN (
        SELECT dbid FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = %(role)s::regrole
        UNION SELECT d.oid FROM pg_database d JOIN pg_prepared_xacts ON database = datname WHERE owner = %(name)s
    )
"""
"""Every tenant may connect to other databases of the server, such as ``postgres``, and create objects there."""

KINDS = [
    *("view", "materialized view", "foreign table", "table", "sequence"),
    *("function", "procedure", "aggregate", "type", "large object"),
]
"""Objects of which a tenant may have many, in an order in which none is required by a later one."""

OWNED = """
    SELECT kind, identity, objid FROM (
        SELECT object.type AS kind, object.identity, objid
        FROM pg_shdepend, pg_identify_object(classid, objid, 0) AS object
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND refclassid = 'pg_authid'::regclass AND refobjid = %(role)s::regrole AND deptype = 'o'
    ) AS owned
    WHERE kind = ANY (%(kinds)s) ORDER BY array_position(%(kinds)s::text[], kind) LIMIT %(batch)s
"""

END_BLOCKERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = ANY (pg_blocking_pids(%s)) AND starts_with(usename, 't_') AND EXISTS (
        SELECT FROM pg_namespace WHERE nspname = usename AND nspowner = usesysid
    )
"""
"""Ends the sessions of tenants, and no others: a tenant's login has the name of the schema that it owns."""


def remove_all(connect: Connect, role: str) -> None:
    """Drop what the role owns and revoke what it was granted, everywhere. The role must not be able to log in."""
    with connect(None) as connection:
        end_sessions(connection, role)
        found = connection.execute(DATABASES, {"role": sql.Identifier(role).as_string(), "name": role})
        databases = [None, *(str(name) for (name,) in found)]
    for database in databases:
        _remove_in(connect, database, role)


def end_sessions(connection: Connection[Any], role: str) -> None:
    """End the sessions of the role in all databases."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid()", [role]
    )


@contextmanager
def ending_blockers(connect: Connect, connection: Connection[Any]) -> Iterator[None]:
    """Within the block, end sessions of tenants if ``connection`` waits for their locks.

    An open transaction of any tenant can hold such a lock: for example one that has granted another tenant's role a
    right on an object of its own.
    """
    done = threading.Event()
    watch = threading.Thread(target=_end_blockers, args=(connect, connection.info.backend_pid, done), daemon=True)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()


def _end_blockers(connect: Connect, pid: int, done: threading.Event) -> None:
    if done.wait(LOOK_EVERY):
        return  # most removals wait for nothing
    with connect(None) as connection:
        while not done.wait(LOOK_EVERY):
            connection.execute(END_BLOCKERS, [pid])
            connection.commit()


def _remove_in(connect: Connect, database: str | None, role: str) -> None:
    _roll_back_prepared(connect, database, role)
    while _drop_batch(connect, database, role) == BATCH:
        pass
    with connect(database) as connection, ending_blockers(connect, connection):
        # As ourselves, because the tenant's role cannot give back what other tenants granted to it. A login that does
        # not inherit the rights of its roles has to act as the tenant nevertheless.
        if connection.execute("SELECT pg_has_role(%s, 'USAGE')", [role]).fetchone() != (True,):
            act_as(connection, role)
        connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(role)))


def _roll_back_prepared(connect: Connect, database: str | None, role: str) -> None:
    query = "SELECT gid FROM pg_prepared_xacts WHERE owner = %s AND database = current_database()"
    with connect(database) as connection:
        prepared = connection.execute(query, [role]).fetchall()
        connection.commit()
        if prepared:
            connection.autocommit = True  # not possible within a transaction
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            for (gid,) in prepared:
                connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))


def _drop_batch(connect: Connect, database: str | None, role: str) -> int:
    """Drop some objects of the role in one transaction. Returns their number."""
    with connect(database) as connection, ending_blockers(connect, connection):
        act_as(connection, role)
        found = connection.execute(
            OWNED, {"role": sql.Identifier(role).as_string(), "kinds": KINDS, "batch": BATCH}
        ).fetchall()
        if drops := [_drop(*each) for each in found]:
            connection.execute("; ".join(drops).encode())  # one round trip
    return len(found)


def _drop(kind: str, identity: str, oid: int) -> str:
    # The server has quoted the identity.
    return f"SELECT lo_unlink({oid})" if kind == "large object" else f"DROP {kind} IF EXISTS {identity} CASCADE"


def act_as(connection: Connection[Any], role: str) -> None:
    """Act as the tenant's role until the transaction ends: the role has rights on its own schema only."""
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))

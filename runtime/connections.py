"""Connections to Postgres, each with the session settings that the product relies on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import AsyncConnection, Connection, sql

ENCODING = "UTF8"
CONNECT_TIMEOUT = 5
"""Seconds."""

TCP_KEEPALIVE: Mapping[str, Any] = MappingProxyType(
    {
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
)
"""Parameters of libpq: a connection over a broken network fails within 30 s, long before the system's timeout."""

OPTIONS: Mapping[str, Any] = MappingProxyType(
    # The encoding also at the start-up: the driver could not send a statement in some others.
    {"connect_timeout": CONNECT_TIMEOUT, "client_encoding": ENCODING, **TCP_KEEPALIVE}
)
"""Parameters of libpq for every connection."""

PINNED: Mapping[str, str] = MappingProxyType(
    {
        "client_encoding": ENCODING,
        # The formats that the driver reads.
        "DateStyle": "ISO, MDY",
        "IntervalStyle": "postgres",
        "TimeZone": "UTC",
        "bytea_output": "hex",
        "extra_float_digits": "1",
        # The meaning of statements.
        "search_path": "public, pg_temp",  # a temporary table never hides one of the product
        "standard_conforming_strings": "on",
        "transform_null_equals": "off",
        "array_nulls": "on",
        "row_security": "on",
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off",
        # The row scope of a caller, and the right to delete events, are set for a transaction only.
        "tenantry.caller": "",
        "tenantry.organisation": "",
        "tenantry.tenants": "",
        "tenantry.retention": "",
        "idle_in_transaction_session_timeout": "60s",
        "idle_session_timeout": "0",
        "statement_timeout": "10s",
        "lock_timeout": "5s",
    }
)
"""The values of all settings of a session that change what the product does, whatever the server, the database, the
login, the address and libpq's environment variables set.

Two settings belong to the operator: ``default_transaction_read_only``, with which a database is closed for writes, and
``role``, with which a login acts for the owner of the tables.
"""

CORRECTED = (
    # A committed cancel has to survive a crash of the server. Every other value waits for the local disk at least.
    ("synchronous_commit", "off", "on"),
    # Otherwise triggers and foreign keys do not fire. A login that may not set it back is refused.
    ("session_replication_role", "replica", "origin"),
    ("session_replication_role", "local", "origin"),
)
"""Settings with a wrong value and the value that replaces it: their other values are the operator's choice."""

OPTIONAL = (("transaction_timeout", "0"),)
"""Settings that not every supported release of Postgres has, with their pinned values."""


class UnsupportedEncoding(psycopg.OperationalError):
    """The database has another encoding than UTF8."""

    def __init__(self, database: str, encoding: str) -> None:
        super().__init__(
            f"the database {database} has the encoding {encoding}, and Tenantry needs {ENCODING}: "
            f"create one with CREATE DATABASE … ENCODING '{ENCODING}' TEMPLATE template0, and use that"
        )


def connect(url: str, name: str, pinned: Mapping[str, str] = PINNED, **options: Any) -> Connection[Any]:  # noqa: ANN401  # options of libpq and the driver
    """Open a connection with the settings ``pinned``. The caller closes it. Raises OperationalError."""
    connection = psycopg.connect(url, application_name=name, **{**OPTIONS, **options})
    pin(connection, pinned)
    return connection


async def connect_to_listen(url: str, name: str) -> AsyncConnection[Any]:
    """Open a connection in autocommit for LISTEN. The caller closes it. Raises OperationalError."""
    connection = await AsyncConnection.connect(url, application_name=name, autocommit=True, **OPTIONS)
    try:
        _require_encoding(connection.info)
        await connection.execute(pinning(PINNED))
    except BaseException:
        await connection.close()
        raise
    return connection


def pin(connection: Connection[Any], pinned: Mapping[str, str] = PINNED) -> None:
    """Set the session's settings, in one round trip. Closes the connection when that fails.

    Raises OperationalError. By SET after connecting, because a connection pooler may refuse start-up ``options``.
    """
    autocommit = connection.autocommit
    try:
        _require_encoding(connection.info)
        connection.autocommit = True
        connection.execute(pinning(pinned))
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise


def pinning(pinned: Mapping[str, str]) -> sql.Composed:
    """The statement that sets all settings of a session."""
    pins = [sql.SQL("set_config({}, {}, false)").format(name, value) for name, value in pinned.items()]
    corrections = [
        sql.SQL("(SELECT set_config({0}, {2}, false) WHERE current_setting({0}) = {1})").format(*each)
        for each in CORRECTED
    ]
    optional = [
        sql.SQL("(SELECT set_config({0}, {1}, false) WHERE current_setting({0}, true) IS NOT NULL)").format(*each)
        for each in OPTIONAL
    ]
    # The first statement, because the server may have set a timeout that is too short for the second.
    return sql.SQL("SET statement_timeout = 0; SELECT {}").format(sql.SQL(", ").join([*pins, *corrections, *optional]))


def _require_encoding(info: psycopg.ConnectionInfo) -> None:
    encoding = info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise UnsupportedEncoding(info.dbname, encoding or "that the server does not name")

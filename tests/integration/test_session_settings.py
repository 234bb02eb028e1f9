"""Every connection has the session settings that the product relies on, whatever its surroundings set."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import text

from adapters import postgres_storage
from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from models import TenantState
from runtime.connections import PINNED, connect, connect_to_listen
from runtime.database import Database, engine_for
from runtime.migrations import ROOT, at_head, migrate
from tests.builders import fresh_names, settings_with
from tests.conformance.field.relay import ConnectionCut, Filter, Relay
from tests.run_harness import run_harness_in
from tests.scratch_database import scratch_database

HOSTILE: Mapping[str, tuple[str, ...]] = {
    "client_encoding": ("LATIN1", "SQL_ASCII", "EUC_TW", "WIN1252"),
    "DateStyle": ("SQL, DMY", "German", "Postgres, MDY"),
    "IntervalStyle": ("iso_8601", "sql_standard", "postgres_verbose"),
    "TimeZone": ("Pacific/Chatham", "Asia/Kathmandu"),
    "bytea_output": ("escape",),
    "extra_float_digits": ("-15",),
    "search_path": ("pg_catalog", "elsewhere, public", ""),
    "standard_conforming_strings": ("off",),
    "transform_null_equals": ("on",),
    "array_nulls": ("off",),
    "row_security": ("off",),
    "default_transaction_isolation": ("serializable", "repeatable read"),
    "default_transaction_deferrable": ("on",),
    "tenantry.caller": ("00000000-0000-0000-0000-000000000000",),
    "tenantry.organisation": ("00000000-0000-0000-0000-000000000000",),
    "tenantry.tenants": ("{00000000-0000-0000-0000-000000000000}",),
    "tenantry.retention": ("on",),
    "idle_in_transaction_session_timeout": ("1ms", "0"),
    "idle_session_timeout": ("2s",),
    "statement_timeout": ("20ms", "0"),
    "lock_timeout": ("1ms", "0"),
    "synchronous_commit": ("off",),
    "session_replication_role": ("replica", "local"),
}
"""Values of the surroundings with which the product would not work, or would break a promise."""

WANTED = {**PINNED, "synchronous_commit": "on", "session_replication_role": "origin"}

SHOW = "SELECT " + ", ".join(f"current_setting('{name}')" for name in WANTED)
"""All of them in the order of WANTED."""


def shown(connection: psycopg.Connection[Any]) -> dict[str, str]:
    with connection:
        return by_name(connection.execute(SHOW.encode()).fetchone())


def by_name(row: Any) -> dict[str, str]:
    return dict(zip(WANTED, row, strict=True))


def shown_by_engine(url: str) -> dict[str, str]:
    database = Database(settings_with(url))
    with closing(database), database.transaction() as session:
        return by_name(session.execute(text(SHOW)).one())


def shown_by_feed(url: str) -> dict[str, str]:
    async def show() -> dict[str, str]:
        async with await connect_to_listen(url, "test") as connection:
            return by_name(await (await connection.execute(SHOW.encode())).fetchone())

    return asyncio.run(show())


def shown_by_listener(url: str) -> dict[str, str]:
    database = Database(settings_with(url))
    with closing(database):
        return shown(database.listen())


def shown_by_storage(url: str) -> dict[str, str]:
    with PostgresStorage(url, Seal(settings_with(url).secret_key))._transaction() as connection:
        return by_name(connection.execute(SHOW.encode()).fetchone())


CONNECTIONS: Mapping[str, tuple[Callable[[str], Mapping[str, str]], Mapping[str, str]]] = {
    "the pool of the API, the workers and the migrations": (shown_by_engine, WANTED),
    "the change feed": (shown_by_feed, WANTED),
    "the cancel listener": (shown_by_listener, WANTED),
    "the tenants' storage": (shown_by_storage, {**WANTED, **postgres_storage.SESSION}),
    "the development server": (lambda url: shown(connect(url, "test")), WANTED),
}


@pytest.fixture(scope="module")
def hostile(database_url: str) -> Iterator[str]:
    """An empty database. A test may change its settings."""
    with scratch_database(database_url) as url:
        yield url


@contextmanager
def surroundings(url: str, where: str, values: Mapping[str, str]) -> Iterator[str]:
    """Set these values in the database, for the login, in the environment or in the address, which is returned."""
    parts = conninfo_to_dict(url)
    target = {
        "database": sql.SQL("DATABASE {}").format(sql.Identifier(str(parts["dbname"]))),
        "login": sql.SQL("ROLE CURRENT_USER IN DATABASE {}").format(sql.Identifier(str(parts["dbname"]))),
    }
    options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in values.items())
    with psycopg.connect(url, autocommit=True, dbname="postgres") as connection, pytest.MonkeyPatch.context() as patch:
        try:
            if where in target:
                for name, value in values.items():
                    change = sql.SQL("ALTER {} SET {} = {}").format(target[where], sql.SQL(name), value)
                    connection.execute(change)
            elif where == "environment":
                patch.setenv("PGOPTIONS", options)
                if "client_encoding" in values:
                    patch.setenv("PGCLIENTENCODING", values["client_encoding"])
            yield f"{url}&options={quote(options)}" if where == "address" else url
        finally:
            for each in target.values():
                connection.execute(sql.SQL("ALTER {} RESET ALL").format(each))


@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.sampled_from(["database", "login", "environment", "address"]),
    values=st.fixed_dictionaries({}, optional={name: st.sampled_from(each) for name, each in HOSTILE.items()}),
)
def test_no_surroundings_change_a_setting_of_any_connection(hostile: str, where: str, values: dict[str, str]) -> None:
    with surroundings(hostile, where, values) as url:
        found = {kind: show(url) for kind, (show, _) in CONNECTIONS.items()}

    assert {kind: normal(each) for kind, each in found.items()} == {
        kind: normal(wanted) for kind, (_, wanted) in CONNECTIONS.items()
    }


def normal(values: Mapping[str, str]) -> dict[str, str]:
    """Durations in milliseconds, as Postgres prints them in other units."""
    units = {"min": 60_000, "s": 1000, "ms": 1, "": 1}

    def one(value: str) -> str:
        found = re.fullmatch(r"(\d+)(min|s|ms)", value)
        return str(int(found[1]) * units[found[2]]) if found else value

    return {name: one(value) for name, value in values.items()}


def test_every_hostile_value_is_one_of_a_pinned_setting() -> None:
    assert set(HOSTILE) == set(WANTED)


def test_the_product_works_in_a_database_with_every_hostile_setting(hostile: str) -> None:
    """DateStyle, IntervalStyle and client_encoding broke sweeps, deadlines and names with a dash."""
    with surroundings(hostile, "database", {name: each[0] for name, each in HOSTILE.items()}):
        settings = settings_with(hostile)
        migrate(settings)
        with run_harness_in(settings) as harness:
            harness.create("shop", name="Shop — Zürich", provisioning_deadline=timedelta(hours=30))
            harness.make_moves()
            harness.sweep()

            tenant = harness.tenant()
            assert (tenant.state, tenant.name) == (TenantState.ACTIVE, "Shop — Zürich")
            assert tenant.provisioning_deadline == timedelta(hours=30)
            assert harness.database.restricted_to(harness.operator.row_scope).transact(count_tenants) == 1
            # The append-only feed: neither the setting of the retention nor the one of the triggers opens it.
            with pytest.raises(Exception, match="append-only"):
                harness.transact(lambda session: session.execute(text("DELETE FROM events")))
        engine = engine_for(settings)
        with engine.connect() as connection:
            assert at_head(connection)
        engine.dispose()


def count_tenants(session: Any) -> int:
    return int(session.scalar(text("SELECT count(*) FROM tenants")))


def test_storage_works_in_a_database_with_every_hostile_setting(hostile: str) -> None:
    storage, names = PostgresStorage(hostile, Seal(settings_with(hostile).secret_key)), fresh_names()
    with surroundings(hostile, "database", {name: each[0] for name, each in HOSTILE.items()}):
        storage.create(names)
        storage.migrate(names)
        found = storage.present(names)
        storage.destroy(names)

    assert found == [names.schema, names.role]
    assert storage.present(names) == []


def test_a_login_that_cannot_set_the_triggers_back_is_refused(hostile: str) -> None:
    with psycopg.connect(hostile, autocommit=True) as connection:
        connection.execute("CREATE ROLE an_ordinary_login LOGIN")
        try:
            with (
                surroundings(hostile, "database", {"session_replication_role": "replica"}),
                pytest.raises(psycopg.errors.InsufficientPrivilege, match="session_replication_role"),
            ):
                connect(make_conninfo(hostile, user="an_ordinary_login"), "test")
        finally:
            connection.execute("DROP ROLE an_ordinary_login")


STARTUP_PARAMETERS = {"user", "database", "application_name", "client_encoding", "replication"}
"""Parameters of a start-up packet that PgBouncer accepts by default, as far as our driver could send them."""


class SessionPooler(Relay):
    """Refuses start-up parameters as PgBouncer does; otherwise each client has a connection to the server."""

    def filter(self) -> Filter:
        return StartupFilter()


class StartupFilter(Filter):
    def __init__(self) -> None:
        self._started = False

    def request(self, data: bytes) -> bytes:
        if not self._started:
            self._started = True
            words = data[8:].split(b"\0")
            given = {word.decode() for word in words[::2] if word}
            if given - STARTUP_PARAMETERS:
                raise ConnectionCut(b"")
        return data


def test_every_connection_passes_a_session_pooler_that_refuses_start_up_options(hostile: str, tmp_path: Path) -> None:
    socket = Path(str(conninfo_to_dict(hostile)["host"])) / ".s.PGSQL.5432"
    with SessionPooler(socket, tmp_path / socket.name):
        url = hostile.replace(quote(str(socket.parent), safe=""), quote(str(tmp_path), safe=""))
        assert url != hostile
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url, options="-c statement_timeout=1s").close()  # the pooler does refuse

        found = {kind: show(url) for kind, (show, _) in CONNECTIONS.items()}

    assert {kind: normal(each) for kind, each in found.items()} == {
        kind: normal(wanted) for kind, (_, wanted) in CONNECTIONS.items()
    }


def test_a_temporary_table_never_hides_a_table_of_the_product(database_url: str) -> None:
    database = Database(settings_with(database_url, database_pool=2))
    with closing(database), database.transaction() as session:
        session.execute(text("CREATE TEMPORARY TABLE tenants (id int) ON COMMIT DROP"))

        assert session.scalar(text("SELECT 'tenants'::regclass = 'public.tenants'::regclass")) is True


PRODUCT = ("access", "adapters", "alembic", "devserver", "edge", "models", "provisioning", "resolvers", "runtime",
           "schema", "server", "workers")  # fmt: skip


def test_only_one_module_opens_connections() -> None:
    opening = re.compile(r"psycopg\.connect\(|Connection\.connect\(|create_async_engine\(|ConnectionPool\(")
    files = [file for folder in PRODUCT for file in (ROOT / folder).rglob("*.py") if "node_modules" not in file.parts]

    assert [str(file.relative_to(ROOT)) for file in files if opening.search(file.read_text())] == [
        "runtime/connections.py"
    ]
    engines = [str(file.relative_to(ROOT)) for file in files if "create_engine(" in file.read_text()]
    assert engines == ["runtime/database.py"]


@pytest.fixture
def ascii_database(database_url: str) -> Iterator[str]:
    """The address of a database with the encoding SQL_ASCII."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE of_bytes ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        try:
            yield database_url.replace("/tenantry?", "/of_bytes?")
        finally:
            connection.execute("DROP DATABASE of_bytes WITH (FORCE)")


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_no_connection_uses_a_database_that_is_not_utf8(ascii_database: str, kind: str) -> None:
    with pytest.raises(Exception, match=r"encoding SQL_ASCII.*ENCODING 'UTF8'") as refusal:
        CONNECTIONS[kind][0](ascii_database)

    error = getattr(refusal.value, "orig", refusal.value)
    assert isinstance(error, psycopg.OperationalError), "retried as an unavailable server, with the reason in one line"

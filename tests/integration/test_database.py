"""Every connection to Postgres follows its libpq URL and detects a lost network."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from adapters.postgres_storage import PostgresStorage
from adapters.sealing import Seal
from runtime.database import Database, Statements, sqlalchemy_url
from runtime.feed import Feed
from tests.builders import settings_with


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(settings_with(database_url))
    yield database
    database.close()


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of all later connection attempts, each of which is refused."""
    attempts: list[dict[str, Any]] = []

    def refuse(_: str = "", **options: Any) -> None:
        attempts.append(options)
        raise psycopg.OperationalError("not in this test")

    monkeypatch.setattr(psycopg, "connect", refuse)
    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", refuse)
    return attempts


async def listen_once(feed: Feed) -> None:
    with suppress(psycopg.OperationalError):
        await feed._listen(feed)


def terminate_doomed_connections(session: Session) -> None:
    terminate = (
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'tenantry-doomed'"
    )
    session.execute(text(terminate))


@pytest.fixture
def doomed(database_url: str) -> Iterator[Database]:
    database = Database(settings_with(database_url), name="tenantry-doomed")
    yield database
    database.close()


def test_a_transaction_on_a_dead_connection_is_retried_on_a_new_one(doomed: Database, database: Database) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(doomed.transaction()).execute(text("SELECT 1"))
    database.transact(terminate_doomed_connections)
    tries = []

    def work(session: Session) -> object:
        tries.append(session)
        return session.scalar(text("SELECT 42"))

    assert doomed.transact(work) == 42
    assert len(tries) == 2


def test_a_commit_whose_reply_is_lost_is_not_retried(doomed: Database) -> None:
    tries = []

    def work(session: Session) -> None:
        tries.append(session)
        session.execute(text("CREATE TEMPORARY TABLE fatal (id int) ON COMMIT DROP"))
        session.execute(
            text(
                "CREATE FUNCTION pg_temp.die() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
            )
        )
        session.execute(
            text(
                "CREATE CONSTRAINT TRIGGER fatal AFTER INSERT ON fatal DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION pg_temp.die()"
            )
        )
        session.execute(text("INSERT INTO fatal VALUES (1)"))

    with pytest.raises(OperationalError):
        doomed.transact(work)
    assert len(tries) == 1


def test_every_kind_of_connection_detects_a_lost_network(
    database: Database, database_url: str, attempts: list[dict[str, Any]]
) -> None:
    storage = PostgresStorage(database_url, Seal(settings_with(database_url).secret_key))
    for connect in (database.engine.raw_connection, database.listen, lambda: storage._transaction().__enter__()):
        with pytest.raises(Exception, match="not in this test"):
            connect()
    asyncio.run(listen_once(Feed(database_url, "channel")))

    limits = ("tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count")
    assert [[options[name] for name in limits] for options in attempts] == [[10_000, 10, 5, 3]] * 4


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app@db/tenantry",
        "postgres://app:p%40ss%2F@db:6432/tenantry?sslmode=require",
        "postgresql:///tenantry?host=/tmp",
        "postgresql://app@/tenantry?host=%2Frun%2Fpostgres",
        "postgresql://%2Frun%2Fpostgres/tenantry",
        "postgresql://app@[::1]:5432/tenantry",
        "postgresql://app@one,two/tenantry?target_session_attrs=read-write",
        "postgresql://app@one:5432,two:5433/tenantry",
    ],
)
def test_the_pool_reads_a_url_as_libpq_does(url: str) -> None:
    database = Database(settings_with(url))
    _, given = database.engine.dialect.create_connect_args(database.engine.url)
    libpq = conninfo_to_dict(url)

    assert {name: str(value) for name, value in given.items() if name != "context"} == {
        name: str(value) for name, value in libpq.items()
    }


def test_a_printed_url_hides_its_password() -> None:
    assert "hunter2" not in f"{sqlalchemy_url('postgresql://app:hunter2@db/tenantry')!r}"


def unreachable() -> OperationalError:
    return OperationalError("BEGIN", None, psycopg.OperationalError("connection refused"))


def test_retry_until_available_succeeds_when_postgres_is_back(database: Database) -> None:
    answers: list[OperationalError | None] = [unreachable(), unreachable(), None]

    def work(statements: Statements) -> object:
        if error := answers.pop(0):
            raise error
        return statements.rows("SELECT 7", {})[0][0]

    assert database.retry_until_available(threading.Event(), work) == 7
    assert answers == []


def test_retry_until_available_stops_when_the_event_is_set(database: Database) -> None:
    stopping, tries = threading.Event(), []

    def work(_: Statements) -> None:
        tries.append(1)
        if len(tries) == 3:
            stopping.set()
        raise unreachable()

    with pytest.raises(OperationalError, match="connection refused"):
        database.retry_until_available(stopping, work)

    assert len(tries) == 3


def test_retry_until_available_does_not_retry_an_error_of_the_work(database: Database) -> None:
    tries = []

    def work(_: Statements) -> None:
        tries.append(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.retry_until_available(threading.Event(), work)

    assert tries == [1]


def test_the_pool_reaches_the_database(database: Database, database_url: str) -> None:
    with database.transaction() as session:
        name = session.connection().exec_driver_sql("SELECT current_database()").scalar_one()

    assert name == psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]

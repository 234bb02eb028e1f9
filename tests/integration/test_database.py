"""Every connection to Postgres is made as libpq reads its address, and notices when the network is cut."""

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
from runtime.database import Database, sqlalchemy_url
from runtime.feed import Feed
from tests.builders import settings_with


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(settings_with(database_url))
    yield database
    database.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is asked of libpq from now on; nothing is connected."""
    asked: list[dict[str, Any]] = []

    def refuse(_: str = "", **options: Any) -> None:
        asked.append(options)
        raise psycopg.OperationalError("not in this test")

    monkeypatch.setattr(psycopg, "connect", refuse)
    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", refuse)
    return asked


async def listen_once(feed: Feed) -> None:
    with suppress(psycopg.OperationalError):
        await feed._listen()


def kill_the_mortal(session: Session) -> None:
    """End whoever is connected under that name."""
    mortal = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'tenantry-mortal'"
    session.execute(text(mortal))


@pytest.fixture
def mortal(database_url: str) -> Iterator[Database]:
    database = Database(settings_with(database_url), name="tenantry-mortal")
    yield database
    database.close()


def test_a_transaction_that_meets_dead_connections_is_made_on_a_fresh_one(mortal: Database, database: Database) -> None:
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(mortal.transaction()).execute(text("SELECT 1"))
    database.transact(kill_the_mortal)
    tries = []

    def work(session: Session) -> object:
        tries.append(session)
        return session.scalar(text("SELECT 42"))

    assert mortal.transact(work) == 42
    assert len(tries) == 2


def test_a_commit_whose_answer_is_lost_is_not_repeated(mortal: Database) -> None:
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
        mortal.transact(work)
    assert len(tries) == 1


def test_every_kind_of_connection_notices_a_cut_network(
    database: Database, database_url: str, asked: list[dict[str, Any]]
) -> None:
    storage = PostgresStorage(database_url, Seal(settings_with(database_url).secret_key))
    for connect in (database.engine.raw_connection, database.listen, lambda: storage._transaction().__enter__()):
        with pytest.raises(Exception, match="not in this test"):
            connect()
    asyncio.run(listen_once(Feed(database_url, "channel")))

    limits = ("tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count")
    assert [[options[name] for name in limits] for options in asked] == [[10_000, 10, 5, 3]] * 4


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
def test_an_address_means_to_the_pool_what_it_means_to_libpq(url: str) -> None:
    database = Database(settings_with(url))
    _, given = database.engine.dialect.create_connect_args(database.engine.url)
    libpq = conninfo_to_dict(url)

    assert {name: str(value) for name, value in given.items() if name != "context"} == {
        name: str(value) for name, value in libpq.items()
    }


def test_an_address_that_is_printed_hides_its_password() -> None:
    assert "hunter2" not in f"{sqlalchemy_url('postgresql://app:hunter2@db/tenantry')!r}"


def unreachable() -> OperationalError:
    return OperationalError("BEGIN", None, psycopg.OperationalError("connection refused"))


def test_who_insists_is_served_when_postgres_is_back(database: Database) -> None:
    answers: list[OperationalError | None] = [unreachable(), unreachable(), None]

    def work(session: Session) -> object:
        if error := answers.pop(0):
            raise error
        return session.connection().exec_driver_sql("SELECT 7").scalar_one()

    assert database.retry_until_available(threading.Event(), work) == 7
    assert answers == []


def test_who_insists_gives_up_once_it_is_over(database: Database) -> None:
    over, tries = threading.Event(), []

    def work(_: Session) -> None:
        tries.append(1)
        if len(tries) == 3:
            over.set()
        raise unreachable()

    with pytest.raises(OperationalError, match="connection refused"):
        database.retry_until_available(over, work)

    assert len(tries) == 3


def test_who_insists_does_not_repeat_what_the_work_itself_refuses(database: Database) -> None:
    tries = []

    def work(_: Session) -> None:
        tries.append(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.retry_until_available(threading.Event(), work)

    assert tries == [1]


def test_the_pool_reaches_the_database(database: Database, database_url: str) -> None:
    with database.transaction() as session:
        name = session.connection().exec_driver_sql("SELECT current_database()").scalar_one()

    assert name == psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]

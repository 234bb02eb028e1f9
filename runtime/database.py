"""Pooled connections to the database, with transactions that send their outbox after the commit."""

import copy
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus, TransactionStatus
from pydantic_core import from_json
from sqlalchemy import URL, Dialect, Engine, create_engine, event, func
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlmodel import Session, select

from runtime import hints
from runtime.connections import OPTIONS, PINNED, connect, pin
from runtime.hints import Hint
from runtime.row_level_security import RowScope, set_role
from runtime.settings import Settings

logger = logging.getLogger(__name__)

RETRYABLE = {"40001", "40P01"}
"""SQLSTATEs of a transaction that Postgres aborted in favour of another: serialization failure, deadlock."""

UNAVAILABLE = ("08", "25006", "25P03", "57P", "58")
"""Prefixes of the SQLSTATEs of an unavailable server: connection lost, read-only, transaction idle for too long,
shutting down or starting up, disk failure."""

BUSY = (*RETRYABLE, "53", "55P03", "57014")
"""Prefixes of the SQLSTATEs of a busy server: aborted in favour of another transaction (also after several attempts),
out of connections, memory or disk space, lock timeout, statement timeout."""

MAX_ATTEMPTS = 5

MAX_BACK_OFF = 0.5
"""Seconds between two attempts while Postgres is unavailable. Each pause is random, so that the processes do not
reconnect all at once."""

P = ParamSpec("P")
T = TypeVar("T")

Deliver = Callable[[Sequence[Any]], None]


NAMED_VALUE = re.compile(r"%\((\w+)\)s")


@lru_cache(1000)
def _numbered(statement: str) -> tuple[bytes, list[str]]:
    """The statement with the numbered values of Postgres, and their names. The driver parses a long one at each use."""
    names = list(dict.fromkeys(NAMED_VALUE.findall(statement)))
    return NAMED_VALUE.sub(lambda value: f"${names.index(value[1]) + 1}", statement).encode(), names


@dataclass(slots=True)
class Statements:
    """Statements on the driver's own connection, without the cost of the ORM. ``outbox`` is sent after the commit.

    ``direct``: without a transaction around them, so each statement is a transaction, with one round trip. It is
    prepared at its first use, because it is one of a few that are repeated for ever.
    """

    connection: psycopg.Connection[Any]
    outbox: list[Any]
    request_id: str | None = None
    direct: bool = False

    @classmethod
    def of(cls, session: Session) -> Self:
        """Statements in the transaction of a session. What the session has not written yet is written first."""
        session.flush()
        connection: Any = session.connection().connection.driver_connection
        return cls(connection, outbox_of(session), session.info.get("request_id"))

    def rows(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Execute a statement with named values, ``%(name)s``, and return its rows. Raises the errors of SQLAlchemy."""
        numbered, names = _numbered(statement)
        try:
            cursor = psycopg.RawCursor(self.connection)
            return cursor.execute(numbered, [values[name] for name in names], prepare=self.direct or None).fetchall()
        except psycopg.Error as error:
            raise _wrapped(error, lost=self.connection.closed) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several statements in one transaction. Does nothing inside the transaction of a session."""
        if not self.direct:
            yield
            return
        with self.connection.transaction():
            yield


class Database:
    """The database with the rights of the product itself; ``restricted_to`` returns it with the rights of a caller.

    ``deliver`` is called after each commit with the wake-ups in the outbox of the transaction, and ``hint`` with its
    hints. Without ``hint``, they are sent at once on a pooled connection.

    A given ``engine`` is used as it is, with its own limits and application name, to reuse its cache of compiled
    statements.
    """

    def __init__(
        self,
        settings: Settings,
        deliver: Deliver | None = None,
        *,
        name: str = "tenantry",
        engine: Engine | None = None,
        pinned: Mapping[str, str] = MappingProxyType({}),
        hint: Callable[[Sequence[Hint]], None] | None = None,
    ) -> None:
        self.url = settings.database_url
        self.engine = engine or engine_for(settings, name, pinned=pinned)
        self.caller_engine = _create_caller_engine(settings, name, pinned) or self.engine
        self.deliver = deliver
        self.hint = hint or self._hint_now
        self.row_scope: RowScope | None = None

    def restricted_to(self, row_scope: RowScope) -> Self:
        """Return the same database restricted to the rows of ``row_scope``, which Postgres enforces."""
        narrowed = copy.copy(self)
        narrowed.engine, narrowed.row_scope = self.caller_engine, row_scope
        return narrowed

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Open a transaction: the end of the block commits and sends the outbox, an exception rolls back."""
        with Session(self.engine, expire_on_commit=False) as session:
            with session.begin():
                if self.row_scope is not None:
                    set_role(session, self.row_scope)
                yield session
            self._send(outbox_of(session))

    def transact(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a transaction, and retry it after a serialization failure or a deadlock.

        Retries also when a pooled connection turns out to be dead, which saves a check of each connection before use.
        Raises what ``work`` raises. ``work`` must be safe to repeat: it sees nothing of the attempt that was rolled
        back.
        """
        for attempt in range(1, MAX_ATTEMPTS):
            committing = False
            try:
                with self.transaction() as session:
                    done = work(session, *args, **kwargs)
                    committing = True
                    return done
            except DBAPIError as error:
                dead = error.connection_invalidated and not committing
                if not dead and sqlstate(error) not in RETRYABLE:
                    raise
                logger.info("transaction failed, retrying", extra={"attempt": attempt, "cause": str(error.orig)})
                if not dead:
                    time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  # spreads load, guards nothing
        with self.transaction() as session:
            return work(session, *args, **kwargs)

    @contextmanager
    def statements(self) -> Iterator[Statements]:
        """Statements on a pooled connection, each of which is a transaction. The outbox is sent at the end."""
        try:
            pooled = self.engine.raw_connection()
        except psycopg.Error as error:
            raise _wrapped(error, lost=False) from error
        try:
            connection: Any = pooled.driver_connection
            connection.autocommit = True
            statements = Statements(connection, [], direct=True)
            try:
                yield statements
            finally:
                if connection.info.transaction_status is TransactionStatus.IDLE:
                    connection.autocommit = False
                else:  # the connection was lost, or the thread was interrupted inside a statement
                    pooled.invalidate()
        finally:
            pooled.close()
        self._send(statements.outbox)

    def execute(self, work: Callable[Concatenate[Statements, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` with statements of their own, and repeat it as ``transact`` does.

        ``work`` must be safe to repeat, also when its last statement was committed and only the reply was lost.
        """
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                with self.statements() as statements:
                    return work(statements, *args, **kwargs)
            except DBAPIError as error:
                if not error.connection_invalidated and sqlstate(error) not in RETRYABLE:
                    raise
                logger.info("statement failed, retrying", extra={"attempt": attempt, "cause": str(error.orig)})
                if not error.connection_invalidated:
                    time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  # spreads load, guards nothing
        with self.statements() as statements:
            return work(statements, *args, **kwargs)

    def retry_until_available(
        self,
        stopped: threading.Event,
        work: Callable[Concatenate[Statements, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run ``execute`` until Postgres is available: the first retry at once, the others after a back-off.

        Raises what ``work`` raises, and the last error of Postgres when ``stopped`` is set meanwhile. ``work`` must be
        safe to repeat, also when its transaction was committed and only the reply was lost.
        """
        pause = 0.0
        while True:
            try:
                return self.execute(work, *args, **kwargs)
            except SQLAlchemyError as error:
                if not is_transient(error) or stopped.wait(pause):
                    raise
                if not pause:
                    logger.warning("database unavailable, retrying until it is back", extra={"cause": str(error)})
            pause = random.uniform(MAX_BACK_OFF / 5, MAX_BACK_OFF)  # noqa: S311  # spreads load, guards nothing

    def listen(self) -> psycopg.Connection[Any]:
        """Open a separate connection for LISTEN, in autocommit. The caller closes it."""
        return connect(self.url, "tenantry-listen", autocommit=True)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()
        self.caller_engine.dispose()

    def _send(self, outbox: Sequence[Any]) -> None:
        if wake_ups := [one for one in outbox if not isinstance(one, Hint)]:
            _send_or_warn(self.deliver, wake_ups, "sending wake-ups failed, the sweeper will send them again")
        if told := [one for one in outbox if isinstance(one, Hint)]:
            _send_or_warn(self.hint, told, "sending hints failed, their readers find the changes later")

    def _hint_now(self, told: Sequence[Hint]) -> None:
        with self.statements() as statements:
            hints.send(statements.connection, told)


def _send_or_warn(send: Deliver | None, messages: Sequence[Any], warning: str) -> None:
    """Send messages of a transaction that was committed, and must not look like a failure."""
    if send is None:
        return
    try:
        send(messages)
    except Exception:
        logger.warning(warning, exc_info=True)


def _wrapped(error: psycopg.Error, *, lost: bool) -> SQLAlchemyError:
    """The error as SQLAlchemy raises it, so that there is one kind of errors of the database."""
    wrapped: SQLAlchemyError = DBAPIError.instance(
        None, None, error, psycopg.Error, connection_invalidated=lost, hide_parameters=True
    )
    return wrapped


def engine_for(
    settings: Settings,
    name: str = "tenantry",
    url: str | None = None,
    pinned: Mapping[str, str] = MappingProxyType({}),
) -> Engine:
    """Create an engine. Its connections have the pinned session settings, with the timeouts of the settings."""
    engine = create_engine(
        sqlalchemy_url(url or settings.database_url),
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=10,
        # The connection that was used last has its plans and catalogs at hand, in Postgres and in the processor.
        pool_use_lifo=True,
        # Parameters contain mail addresses and encrypted keys, which must not appear in a log.
        hide_parameters=True,
        json_deserializer=from_json,  # takes a third of the time of Python's own; every event has facts as JSON
        connect_args={"application_name": name, **OPTIONS},
    )
    pinned = {
        **PINNED,
        **pinned,
        "statement_timeout": f"{_milliseconds(settings.statement_timeout)}",
        "lock_timeout": f"{_milliseconds(settings.lock_timeout)}",
    }

    # Before the first statement of SQLAlchemy itself, which reads the search path and keeps it.
    @event.listens_for(engine, "do_connect")
    def connect_and_pin(dialect: Dialect, _: object, arguments: tuple[Any, ...], options: dict[str, Any]) -> object:
        connection: Any = dialect.connect(*arguments, **options)
        pin(connection, pinned)
        return connection

    return engine


def _create_caller_engine(settings: Settings, name: str, pinned: Mapping[str, str]) -> Engine | None:
    """Create the engine of the separate login, if the settings have one: none of its statements can leave the role."""
    return engine_for(settings, name, settings.api_database_url, pinned) if settings.api_database_url else None


def sqlalchemy_url(url: str) -> URL:
    """Convert a libpq address for SQLAlchemy. libpq itself parses it, because it accepts more than other parsers."""
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    user, password = parts.pop("user", None), parts.pop("password", None)
    return URL.create("postgresql+psycopg", username=user, password=password, query=parts)


def outbox_of(session: Session) -> list[Any]:
    """The wake-ups that are sent once this transaction has committed."""
    outbox: list[Any] = session.info.setdefault("outbox", [])
    return outbox


def clock(session: Session) -> datetime:
    """The current time of the database: the only clock for leases, due times and deadlines."""
    now: datetime = session.exec(select(func.clock_timestamp())).one()
    return now


def is_transient(error: BaseException | None) -> bool:
    """Whether the error is transient: the same statement may succeed in a moment."""
    return is_unavailable(error) or is_busy(error)


def is_unavailable(error: BaseException | None) -> bool:
    """Whether the server was unavailable. False for a statement that failed on an available server."""
    state = sqlstate(error)
    return state.startswith(UNAVAILABLE) if state else _lacks_connection(error)


def is_busy(error: BaseException | None) -> bool:
    """Whether other work on the server was the cause: locks, aborted transactions, exhausted resources, timeouts."""
    state = sqlstate(error)
    return state.startswith(BUSY) if state else isinstance(error, PoolExhausted)


def sqlstate(error: BaseException | None) -> str | None:
    """The five-character error code of Postgres; None when the error is not from Postgres, or has no code.

    A refused connection has none, because libpq keeps the server's code to itself.
    """
    cause = _from_driver(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def _from_driver(error: BaseException | None) -> BaseException | None:
    return error.orig if isinstance(error, DBAPIError) else error


def _lacks_connection(error: BaseException | None) -> bool:
    """Whether a connection was refused, could not be opened, or was lost.

    Not found out from the text, which has the language of the server and of this machine.
    """
    connection = getattr(_from_driver(error), "pgconn", None)
    return isinstance(error, OperationalError | psycopg.OperationalError) and (
        connection is None or connection.status == ConnStatus.BAD
    )


def _milliseconds(length: timedelta) -> int:
    return int(length.total_seconds() * 1000)

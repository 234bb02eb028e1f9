"""The database of this process: pooled connections, and transactions that send their wake-ups after the commit."""

import copy
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine, func
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlmodel import Session, select

from runtime.row_level_security import RowScope, set_role
from runtime.settings import Settings

logger = logging.getLogger(__name__)

RETRYABLE = {"40001", "40P01"}
"""SQLSTATEs of a transaction that Postgres gave up so that another could go on: serialization failure, deadlock."""

UNAVAILABLE = ("08", "25006", "25P03", "57P", "58")
"""How the SQLSTATE begins of a server that hangs up, also on who slept in a transaction, only reads for now, shuts down
or starts up, or lost its disk."""

BUSY = (*RETRYABLE, "53", "55P03", "57014")
"""The same of what may go well the next time: given up for others, also after several tries, no connection, memory or
room left, and a lock or a statement that took longer than it may."""

MAX_ATTEMPTS = 5

MAX_BACK_OFF = 0.5
"""Seconds between two tries while Postgres is away; spread, so that not everybody comes at once when it is back."""

TCP_KEEPALIVE: dict[str, Any] = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""For libpq: a server behind a cut network counts as lost within half a minute, and not when the system gives up."""

P = ParamSpec("P")
T = TypeVar("T")

Deliver = Callable[[Sequence[Any]], None]


class Database:
    """One engine, as the product itself sees it; ``restricted_to`` is the same database as a caller sees it.

    ``deliver`` gets, after each commit, what the transaction left in its outbox.

    An ``engine`` that is handed in is one that remembers how statements are spelled; its limits and its name stay.
    """

    def __init__(
        self,
        settings: Settings,
        deliver: Deliver | None = None,
        *,
        name: str = "tenantry",
        engine: Engine | None = None,
    ) -> None:
        self.url = settings.database_url
        self.engine = engine or engine_for(settings, name)
        self.caller_engine = _create_caller_engine(settings, name) or self.engine
        self.deliver = deliver
        self.row_scope: RowScope | None = None

    def restricted_to(self, row_scope: RowScope) -> Self:
        """The same database, in which nothing exists that is out of reach: Postgres sees to it."""
        narrowed = copy.copy(self)
        narrowed.engine, narrowed.row_scope = self.caller_engine, row_scope
        return narrowed

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back by an exception; then the outbox goes out."""
        with Session(self.engine, expire_on_commit=False) as session:
            with session.begin():
                if self.row_scope is not None:
                    set_role(session, self.row_scope)
                yield session
            self._send(outbox_of(session))

    def transact(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` in a transaction of its own, again when Postgres gave it up for another's sake.

        Also when a connection of the pool turns out to be dead, which costs nothing while they live. Raises what
        ``work`` raises. ``work`` must be safe to repeat: it sees nothing of the attempt that was undone.
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
                logger.info("transaction given up, trying again", extra={"attempt": attempt, "cause": str(error.orig)})
                if not dead:
                    time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311  # spreads load, guards nothing
        with self.transaction() as session:
            return work(session, *args, **kwargs)

    def retry_until_available(
        self, over: threading.Event, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Transact, again and again for as long as Postgres is away or hindered, at once the first time.

        Raises what ``work`` raises, and Postgres's last error when ``over`` is set meanwhile. ``work`` must be safe to
        repeat also when it was committed and only the answer was lost.
        """
        rest = 0.0
        while True:
            try:
                return self.transact(work, *args, **kwargs)
            except SQLAlchemyError as error:
                if not is_transient(error) or over.wait(rest):
                    raise
                if not rest:
                    logger.warning("postgres does not take it, trying until it does", extra={"cause": str(error)})
            rest = random.uniform(MAX_BACK_OFF / 5, MAX_BACK_OFF)  # noqa: S311  # spreads load, guards nothing

    def listen(self) -> psycopg.Connection[Any]:
        """A connection of its own for LISTEN, in autocommit. The caller closes it."""
        return psycopg.connect(self.url, autocommit=True, connect_timeout=5, **TCP_KEEPALIVE)

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()
        self.caller_engine.dispose()

    def _send(self, outbox: Sequence[Any]) -> None:
        if not (outbox and self.deliver):
            return
        try:
            self.deliver(outbox)
        except Exception:
            # The rows say what is due; the sweeper asks again. A commit must never look like a failure.
            logger.warning("wake-ups were not delivered, the sweeper will ask again", exc_info=True)


def engine_for(settings: Settings, name: str = "tenantry", url: str | None = None) -> Engine:
    """An engine whose connections carry the limits of the settings."""
    limits = (
        f"-c statement_timeout={_milliseconds(settings.statement_timeout)} "
        f"-c lock_timeout={_milliseconds(settings.lock_timeout)} "
        f"-c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
    )
    return create_engine(
        sqlalchemy_url(url or settings.database_url),
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_timeout=10,
        # Parameters are people's addresses and sealed keys: they have no place in a log.
        hide_parameters=True,
        connect_args={"options": limits, "application_name": name, "connect_timeout": 5, **TCP_KEEPALIVE},
    )


def _create_caller_engine(settings: Settings, name: str) -> Engine | None:
    """Its connections log in as somebody else, when the settings name one: then no statement can leave the role."""
    return engine_for(settings, name, settings.api_database_url) if settings.api_database_url else None


def sqlalchemy_url(url: str) -> URL:
    """A libpq address as SQLAlchemy wants it: libpq itself reads it, because it allows more than other readers do."""
    parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    user, password = parts.pop("user", None), parts.pop("password", None)
    return URL.create("postgresql+psycopg", username=user, password=password, query=parts)


def outbox_of(session: Session) -> list[Any]:
    """What goes out once this transaction has committed."""
    outbox: list[Any] = session.info.setdefault("outbox", [])
    return outbox


def clock(session: Session) -> datetime:
    """The database's clock, read now: the only one that leases, due times and deadlines go by."""
    now: datetime = session.exec(select(func.clock_timestamp())).one()
    return now


def is_transient(error: BaseException | None) -> bool:
    """Whether Postgres could not do it just now, so that the same may go well in a moment."""
    return is_unavailable(error) or is_busy(error)


def is_unavailable(error: BaseException | None) -> bool:
    """Whether there was no server to do it, rather than a statement that failed."""
    state = sqlstate(error)
    return state.startswith(UNAVAILABLE) if state else isinstance(error, OperationalError)


def is_busy(error: BaseException | None) -> bool:
    """Whether somebody else was in the way."""
    state = sqlstate(error)
    return state.startswith(BUSY) if state else isinstance(error, PoolExhausted)


def sqlstate(error: BaseException | None) -> str | None:
    """Postgres's five-character code behind an error, if it is one of Postgres's."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def _milliseconds(length: timedelta) -> int:
    return int(length.total_seconds() * 1000)

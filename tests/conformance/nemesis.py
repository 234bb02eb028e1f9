"""A database that gives transactions up, loses the answer to a COMMIT, and is watched for stale writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import psycopg
from sqlalchemy import and_, false, func
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, SQLModel, col, select

from models import Event, Resource, Run, RunStep
from provisioning import engine
from provisioning.claims import Claim
from runtime.database import Database, outbox_of
from tests.conformance.virtual_worker import Owner, breathe, current

P = ParamSpec("P")
T = TypeVar("T")


class Strike(StrEnum):
    """What Postgres does to a transaction."""

    SERIALIZATION = "40001"
    DEADLOCK = "40P01"
    LOST_REPLY = "commits, and its answer is lost"


class LostReply(OperationalError):
    """The transaction committed; nobody will ever know from this connection."""

    def __init__(self) -> None:
        super().__init__("COMMIT", None, psycopg.OperationalError("the connection is lost"))


class Nemesis(Database):
    """Shares the engine of a database and strikes the next transactions as it was told to."""

    def __init__(self, database: Database) -> None:
        vars(self).update(vars(database))
        self.strikes: list[Strike | None] = []
        self.violations: list[str] = []

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        strike = self.strikes.pop(0) if self.strikes else None
        with super().transaction() as session:
            yield session
            _give_up(session, strike)
        if strike is Strike.LOST_REPLY:
            raise LostReply

    def transact(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        owner = current()
        if owner is None:
            return super().transact(work, *args, **kwargs)
        breathe(f"before {work.__name__.strip('_')}")
        result = self._watched(owner, work, *args, **kwargs)
        breathe(f"after {work.__name__.strip('_')}")
        return result

    def _watched(
        self, owner: Owner, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if work.__name__ == engine.claim.__name__:
            return self._watched_claim(owner, work, *args, **kwargs)
        stale = owner.paused and owner.claim is not None and not self._holds(owner.claim)
        before = self.picture(owner.run_id) if stale else None
        try:
            return super().transact(work, *args, **kwargs)
        finally:
            owner.recorded = owner.recorded or work.__name__ in {"record", "record_failure"}
            if stale and self.picture(owner.run_id) != before:
                self.violations.append(f"V9: {owner.name} wrote without its token: {work.__name__}")

    def _watched_claim(
        self, owner: Owner, work: Callable[Concatenate[Session, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        seen: list[tuple[bool, bool]] = []

        def look_and_claim(session: Session, /, *args: P.args, **kwargs: P.kwargs) -> T:
            seen.append(_look(session, owner.run_id, kwargs.get("token")))
            return work(session, *args, **kwargs)

        result = super().transact(look_and_claim, *args, **kwargs)
        if isinstance(result, Claim):
            owned, cancelled = seen[-1]
            self._judge_claim(owner, result, owned=owned, cancelled=cancelled)
        return result

    def picture(self, run_id: UUID) -> list[dict[str, Any]]:
        """Every row of a run."""
        tables: list[tuple[type[SQLModel], Any]] = [
            (Run, col(Run.id) == run_id),
            (RunStep, col(RunStep.run_id) == run_id),
            (Resource, col(Resource.run_id) == run_id),
            (Event, col(Event.run_id) == run_id),
        ]
        with Database.transaction(self) as session:
            rows = [row.model_dump() for table, mine in tables for row in session.exec(select(table).where(mine))]
        return sorted(rows, key=repr)

    def _judge_claim(self, owner: Owner, claim: Claim, *, owned: bool, cancelled: bool) -> None:
        # Noted and not raised: the mover would take an exception for the step's own.
        owner.claim = claim
        if owned:
            self.violations.append(f"V9: {owner.name} claimed a run that another worker owns")
        if cancelled and not claim.backward:
            self.violations.append(f"V6: {owner.name} claimed forward work of a cancelled run")

    def _holds(self, claim: Claim) -> bool:
        with Database.transaction(self) as session:
            return session.exec(select(Run.lease_token).where(Run.id == claim.run_id)).one() == claim.token


def _look(session: Session, run_id: UUID, token: object) -> tuple[bool, bool]:
    """Whether somebody without this token owns the run, and whether it is being cancelled."""
    owned = and_(col(Run.lease_until) > func.clock_timestamp(), col(Run.lease_token).is_distinct_from(token))
    cancelled = and_(col(Run.cancel_requested_at).is_not(None), col(Run.finished_at).is_(None))
    row = session.exec(select(func.coalesce(owned, false()), cancelled).where(Run.id == run_id)).one()
    return row[0], row[1]


def _give_up(session: Session, strike: Strike | None) -> None:
    match strike:
        case Strike.SERIALIZATION:
            session.flush()
            raise OperationalError("COMMIT", None, psycopg.errors.SerializationFailure("as it was told to"))
        case Strike.DEADLOCK:
            session.flush()
            raise OperationalError("COMMIT", None, psycopg.errors.DeadlockDetected("as it was told to"))
        case Strike.LOST_REPLY:
            # The process that would send them is the one that lost its connection.
            outbox_of(session).clear()
        case None:
            pass

"""A database with transaction faults, which detects writes of workers that have lost their lease."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import psycopg
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, SQLModel, col, select

from models import Event, Resource, Run, RunStep
from provisioning.engine import Change, Decided
from provisioning.moves import Backward
from provisioning.transition import Transition
from runtime.database import Database, Statements, outbox_of
from tests.conformance.virtual_worker import Taken, VirtualWorker, current, failpoint

P = ParamSpec("P")
T = TypeVar("T")


CLAIMS = {"claim", "record", "keep_waiting"}
"""The changes that may leave their worker with a claim."""


class TransactionFault(StrEnum):
    """How a transaction fails."""

    SERIALIZATION = "40001"
    DEADLOCK = "40P01"
    LOST_REPLY = "commits, and the reply is lost"


class LostReply(OperationalError):
    """The transaction committed, but the client cannot know it from this connection."""

    def __init__(self) -> None:
        super().__init__("COMMIT", None, psycopg.OperationalError("connection lost after COMMIT"))


ABORTS: dict[TransactionFault | None, OperationalError] = {
    TransactionFault.SERIALIZATION: OperationalError("", None, psycopg.errors.SerializationFailure("injected fault")),
    TransactionFault.DEADLOCK: OperationalError("", None, psycopg.errors.DeadlockDetected("injected fault")),
}


class Nemesis(Database):
    """Shares the engine of a database and applies the planned faults to the next transactions."""

    def __init__(self, database: Database) -> None:
        vars(self).update(vars(database))
        self.faults: list[TransactionFault | None] = []
        self.violations: list[str] = []

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        fault = self.faults.pop(0) if self.faults else None
        with super().transaction() as session:
            yield session
            _inject_fault(session, fault)
        if fault is TransactionFault.LOST_REPLY:
            raise LostReply

    @contextmanager
    def statements(self) -> Iterator[Statements]:
        fault = self.faults.pop(0) if self.faults else None
        with super().statements() as statements:
            if fault in ABORTS:
                with statements.connection.transaction(force_rollback=True):
                    yield statements
                raise ABORTS[fault]
            yield statements
            if fault is TransactionFault.LOST_REPLY:
                statements.outbox.clear()
        if fault is TransactionFault.LOST_REPLY:
            raise LostReply

    def transact(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = self._between_failpoints(work, super().transact, *args, **kwargs)
        return result

    def execute(self, work: Callable[Concatenate[Statements, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = self._between_failpoints(work, super().execute, *args, **kwargs)
        return result

    def _between_failpoints(
        self, work: Callable[..., Any], run: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Any:
        worker = current()
        if worker is None:
            return run(work, *args, **kwargs)
        name = _name_of(work, args)
        failpoint(f"before {name}")
        result = self._checked(worker, name, work, run, *args, **kwargs)
        failpoint(f"after {name}")
        return result

    def _checked(
        self,
        worker: VirtualWorker,
        name: str,
        work: Callable[..., Any],
        run: Callable[..., Any],
        /,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        stale = worker.paused and worker.claim is not None and not self._owns_lease(worker.claim)
        before = self.snapshot(worker.run_id) if stale else None
        try:
            if name in CLAIMS:
                return self._checked_claim(worker, work, run, *args, **kwargs)
            return run(work, *args, **kwargs)
        finally:
            worker.recorded = worker.recorded or name in {"record", "record_failure"}
            if stale and self.snapshot(worker.run_id) != before:
                self.violations.append(f"V9: {worker.name} wrote without its token: {name}")

    def _checked_claim(
        self, worker: VirtualWorker, work: Callable[..., T], run: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> T:
        seen: list[tuple[UUID | None, bool]] = []

        def inspect_and_claim(statements: Statements, /, *args: Any, **kwargs: Any) -> Any:
            seen.append(_ownership(statements, worker.run_id))
            return work(statements, *args, **kwargs)

        result: T = run(inspect_and_claim, *args, **kwargs)
        if taken := _taken(result):
            owner, cancelled = seen[-1]
            self._check_claim(worker, taken, owner, cancelled=cancelled)
        return result

    def snapshot(self, run_id: UUID) -> list[dict[str, Any]]:
        """Every row that belongs to a run."""
        tables: list[tuple[type[SQLModel], Any]] = [
            (Run, col(Run.id) == run_id),
            (RunStep, col(RunStep.run_id) == run_id),
            (Resource, col(Resource.run_id) == run_id),
            (Event, col(Event.run_id) == run_id),
        ]
        with Database.transaction(self) as session:
            rows = [
                row.model_dump() for table, condition in tables for row in session.exec(select(table).where(condition))
            ]
        return sorted(rows, key=repr)

    def _check_claim(self, worker: VirtualWorker, taken: Taken, owner: UUID | None, *, cancelled: bool) -> None:
        # Recorded, not raised: the step runner would take an exception for an error of the step.
        own = {taken.token, worker.claim and worker.claim.token}
        worker.claim = taken
        if owner is not None and owner not in own:
            self.violations.append(f"V9: {worker.name} claimed a run that another worker has leased")
        if cancelled and not taken.backward:
            self.violations.append(f"V6: {worker.name} claimed forward work of a cancelled run")

    def _owns_lease(self, claim: Taken) -> bool:
        with Database.transaction(self) as session:
            return session.exec(select(Run.lease_token).where(Run.id == claim.run_id)).one() == claim.token


def _name_of(work: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """What a transaction does. A worker applies its changes alone, or in a group of one."""
    match args:
        case [Change(decide=decide)] | [[Change(decide=decide)]]:
            return decide.__name__
        case _:
            return work.__name__.strip("_")


OWNERSHIP = """
SELECT CASE WHEN lease_until > clock_timestamp() THEN lease_token END,
    cancel_requested_at IS NOT NULL AND finished_at IS NULL
FROM runs WHERE id = %(run_id)s
"""


def _ownership(statements: Statements, run_id: UUID) -> tuple[UUID | None, bool]:
    """The token with a valid lease of the run, and whether the run is being cancelled."""
    [(owner, cancelled)] = statements.rows(OWNERSHIP, {"run_id": run_id})
    return owner, cancelled


def _taken(result: object) -> Taken | None:
    """The lease that a claim or a record has taken, by itself or in a group of one."""
    match result:
        case Decided(Transition(position=position, claimed=move)) | [
            Decided(Transition(position=position, claimed=move))
        ] if move is not None:
            assert position.run.lease_token is not None, "a claimed run has a token"
            return Taken(position.run.id, position.run.lease_token, isinstance(move, Backward))
        case _:
            return None


def _inject_fault(session: Session, fault: TransactionFault | None) -> None:
    match fault:
        case TransactionFault.SERIALIZATION:
            session.flush()
            raise OperationalError("COMMIT", None, psycopg.errors.SerializationFailure("injected fault"))
        case TransactionFault.DEADLOCK:
            session.flush()
            raise OperationalError("COMMIT", None, psycopg.errors.DeadlockDetected("injected fault"))
        case TransactionFault.LOST_REPLY:
            # The process that lost its connection does not send its wake-ups.
            outbox_of(session).clear()
        case None:
            pass

"""Mutants without the protections against workers that die, pause or have wrong clocks."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import or_
from sqlmodel import Session, col, delete, select

from adapters import storage_tombstones
from adapters.inventory import Inventory
from models import Run, RunStatus, RunStep
from provisioning import claims, decisions, due_runs, engine, settlement
from provisioning.claims import Claim
from provisioning.decisions import outcome_of
from provisioning.moves import Backward, Move, Settle
from provisioning.settlement import Position
from provisioning.steps import saga
from runtime.database import Database
from tests.conformance.field.mutants import mutant

FOR_EVER = timedelta(hours=1)


@mutant
def no_lease_expiry(patch: pytest.MonkeyPatch) -> None:
    """A claimed run stays leased for an hour, even if its worker is dead."""
    original, original_renew = engine._leased, claims.renew

    def leased(session: Session, position: Position, *args: Any) -> Claim:
        claim = original(session, position, *args)
        position.run.lease_until = position.run.due_at = position.now + FOR_EVER
        return claim

    def renew(session: Session, tokens: Any, _: timedelta) -> list[claims.Renewal]:
        return original_renew(session, tokens, FOR_EVER)

    patch.setattr(engine, "_leased", leased)
    patch.setattr(claims, "renew", renew)


@mutant
def no_adapter_tombstones(patch: pytest.MonkeyPatch) -> None:
    """Destroyed resources leave no tombstone: a late call creates them again."""

    def bury(inventory: Inventory, session: Session, **values: object) -> None:
        session.exec(delete(inventory._table).where(inventory._key(values)))

    patch.setattr(Inventory, "bury", bury)
    patch.setattr(storage_tombstones, "refuse_destroyed", lambda *_: None)


@mutant
def no_redispatch(patch: pytest.MonkeyPatch) -> None:
    """A lost wake-up is never sent again."""
    patch.setattr(due_runs, "REDISPATCH_AFTER", FOR_EVER)


@mutant
def lease_times_by_worker_clock(patch: pytest.MonkeyPatch) -> None:
    """Due times and leases are compared with the wall clock of the process, not of the database."""
    original = settlement.position_of

    def position_of(session: Session, run: Run) -> Position:
        return replace(original(session, run), now=datetime.now(UTC))

    def due_run(session: Session, run_id: UUID, statuses: Collection[RunStatus], token: UUID) -> Run | None:
        due = or_(col(Run.due_at) <= datetime.now(UTC), col(Run.lease_token) == token)
        query = select(Run).where(Run.id == run_id, col(Run.status).in_(statuses), due)
        return session.exec(query.with_for_update(key_share=True)).one_or_none()

    patch.setattr(settlement, "position_of", position_of)
    patch.setattr(engine, "_due_run", due_run)


@mutant
def undo_order_by_release(patch: pytest.MonkeyPatch) -> None:
    """The undo uses the step list of the performing release instead of the rows of the run."""

    def backward(run: Run, steps: Sequence[RunStep]) -> Move:
        here = [step.name for step in saga]
        behind = sorted((s for s in steps if s.to_be_undone and s.name in here), key=lambda s: here.index(s.name))
        return Backward(behind[-1].name) if behind else Settle(outcome_of(run))

    patch.setattr(decisions, "_backward", backward)


@mutant
def no_retry_of_record(patch: pytest.MonkeyPatch) -> None:
    """A record that fails because Postgres is down is not retried; the run waits until its lease expires."""

    def retry_until_available(database: Database, _: Any, work: Any, *args: Any, **kwargs: Any) -> Any:
        return database.transact(work, *args, **kwargs)

    patch.setattr(Database, "retry_until_available", retry_until_available)


@mutant
def no_wait_for_capacity(patch: pytest.MonkeyPatch) -> None:
    """A step that found no free connection has failed, and uses up an attempt."""
    patch.setattr(engine, "is_scarcity", lambda _: False)

"""Mutants without the protections against workers that die, pause or have wrong clocks."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, delete

from adapters import storage_tombstones
from adapters.inventory import Inventory
from provisioning import decisions, due_runs, engine, run_reader, run_store, transitions
from provisioning.decisions import DecidingRun, DecidingStep, outcome_of
from provisioning.moves import Backward, Forward, Move, Settle
from provisioning.position import Position
from provisioning.steps import saga
from runtime.database import Database, Statements
from tests.conformance.field.mutants import mutant
from workers.presence import LostWorkers

FOR_EVER = timedelta(hours=1)


@mutant
def no_notice_of_dead_workers(patch: pytest.MonkeyPatch) -> None:
    """A run of a dead worker waits until its lease expires."""
    patch.setattr(LostWorkers, "after", lambda *_: [])


@mutant
def no_lease_expiry(patch: pytest.MonkeyPatch) -> None:
    """A claimed run stays leased for an hour, even if its worker is dead."""
    no_notice_of_dead_workers(patch)
    original, original_renew = transitions._lease, run_store.renew

    def lease(draft: Any, move: Forward | Backward, taken: transitions.Lease) -> None:
        original(draft, move, replace(taken, length=FOR_EVER))

    def renew(statements: Statements, tokens: Any, _: timedelta) -> list[run_store.Renewal]:
        return original_renew(statements, tokens, FOR_EVER)

    patch.setattr(transitions, "_lease", lease)
    patch.setattr(run_store, "renew", renew)


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
    patch.setattr(due_runs, "LOST_AFTER", FOR_EVER)


@mutant
def lease_times_by_worker_clock(patch: pytest.MonkeyPatch) -> None:
    """Due times and leases are compared with the wall clock of the process, not of the database."""
    original = run_reader._position_of

    def position_of(row: Sequence[Any]) -> Position:
        return original(row)._replace(now=datetime.now(UTC))

    patch.setattr(run_reader, "_position_of", position_of)


@mutant
def undo_order_by_release(patch: pytest.MonkeyPatch) -> None:
    """The undo uses the step list of the performing release instead of the rows of the run."""

    def backward(run: DecidingRun, steps: Iterable[DecidingStep]) -> Move:
        here = [step.name for step in saga]
        behind = sorted((s for s in steps if s.to_be_undone and s.name in here), key=lambda s: here.index(s.name))
        return Backward(behind[-1].name) if behind else Settle(outcome_of(run))

    patch.setattr(decisions, "_backward", backward)


@mutant
def no_retry_of_record(patch: pytest.MonkeyPatch) -> None:
    """A record that fails because Postgres is down is not retried; the run waits until its lease expires."""

    def retry_until_available(database: Database, _: Any, work: Any, *args: Any, **kwargs: Any) -> Any:
        return database.execute(work, *args, **kwargs)

    patch.setattr(Database, "retry_until_available", retry_until_available)


@mutant
def no_wait_for_capacity(patch: pytest.MonkeyPatch) -> None:
    """A step that found no free connection has failed, and uses up an attempt."""
    patch.setattr(engine, "is_scarcity", lambda _: False)

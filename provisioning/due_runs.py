"""The sweeper's operations on runs that are due without an owner."""

import logging
from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func
from sqlmodel import Session, col, select

from models import Run, RunStatus, RunStep, StepStatus
from provisioning import run_reader, run_store, transitions
from provisioning.actors import PLATFORM
from provisioning.cancellation import cancel_provisioning
from provisioning.decisions import FORWARD, next_move
from provisioning.errors import ProvisioningRefused
from provisioning.event_types import EventType
from provisioning.events import NewEvent, emit_all
from provisioning.moves import Backward, Forward
from provisioning.transition import milliseconds
from provisioning.wakeups import WakeUp
from runtime.database import Statements

logger = logging.getLogger(__name__)

MAX_RUNS_PER_SWEEP = 200
"""Limit of runs in one sweep, so that the transaction stays short even after an outage."""

MAX_RUNS_ENDED_AT_ONCE = 20
"""Limit of runs that one transaction ends: each takes several statements, and all stay locked until the commit."""

REDISPATCH_AFTER = timedelta(seconds=1)
"""A wake-up that no worker has acted on for this time is lost if its queue is empty."""

LOST_AFTER = timedelta(seconds=15)
"""The same if the queue is not empty: then the wake-up is most likely still in it."""


def redispatch_due_runs(
    statements: Statements,
    statuses: Collection[RunStatus] = tuple(RunStatus),
    *,
    lost_after: timedelta | None = None,
) -> bool:
    """Send wake-ups for due runs in ``statuses`` without a recent one. Returns whether more runs may be due.

    A wake-up counts as lost after ``lost_after``, by default REDISPATCH_AFTER.

    This finds lost messages, lapsed leases, and back-offs and poll intervals that are over: all of them are due times
    in the run's row.
    """
    runs = run_store.dispatch(statements, statuses, lost_after or REDISPATCH_AFTER, MAX_RUNS_PER_SWEEP)
    for run, steps in runs:
        match next_move(run, steps):
            case Forward() | Backward() as move:
                statements.outbox.append(WakeUp(run.id, move))
            case _:
                _advance(statements, run.id)
    return len(runs) == MAX_RUNS_PER_SWEEP


def end_due_runs(statements: Statements) -> bool:
    """End runs that have no step left to compensate. Returns whether there may be more. Needs no worker and no broker.

    A run that cannot end, because it still holds resources, is tried again later and does not block the others.
    """
    with statements.transaction():
        positions = run_store.due_to_end(statements, MAX_RUNS_ENDED_AT_ONCE)
        for position in positions:
            transition = transitions.due_without_owner(position)
            if transition is None:
                continue
            if transition.position.run.finished_at is None:
                logger.error("run cannot end, resources are still held", extra={"run": position.run.id})
            run_store.write(statements, transition)
    return len(positions) == MAX_RUNS_ENDED_AT_ONCE


def _advance(statements: Statements, run_id: UUID) -> None:
    """Take a run that is due without a next move out of the sweep."""
    position = run_reader.read(statements, run_id)
    if position and (transition := transitions.due_without_owner(position)):
        run_store.write(statements, transition)


def overdue_runs(session: Session) -> list[tuple[UUID, UUID]]:
    """Tenant and run ids of forward runs past their deadline.

    Runs that are being compensated after a failure are left out, so that they end as FAILED and not as CANCELLED.
    """
    overdue = session.exec(
        select(Run.tenant_id, Run.id)
        .where(
            col(Run.deadline_at) <= func.clock_timestamp(),
            col(Run.finished_at).is_(None),
            col(Run.cancel_requested_at).is_(None),
            col(Run.status).in_(FORWARD),
        )
        .order_by(col(Run.deadline_at))
        .limit(MAX_RUNS_PER_SWEEP)
    )
    return [(tenant_id, run_id) for tenant_id, run_id in overdue]


def cancel_overdue_run(session: Session, tenant_id: UUID, run_id: UUID) -> bool:
    """Cancel the run as the platform. Returns False if the run has ended or was cancelled in the meantime."""
    late = "The run exceeded its provisioning deadline."
    try:
        change = cancel_provisioning(session, tenant_id, by=PLATFORM, reason=late, run_id=run_id)
    except ProvisioningRefused:
        return False
    return not change.already_requested


def delayed_undos(session: Session, alarm: timedelta) -> list[UUID]:
    """Runs with an undo that takes longer than ``alarm`` and of which no operator was warned.

    Index: undos_in_progress.
    """
    return list(session.exec(select(RunStep.run_id).where(_is_delayed(alarm)).limit(MAX_RUNS_PER_SWEEP)))


def report_delayed_undo(session: Session, run_id: UUID, alarm: timedelta) -> dict[str, Any] | None:
    """Emit the event that an undo takes longer than ``alarm``, once for each undo. Returns its facts.

    Returns None if the undo was reported or has ended in the meantime, or if another transaction has locked the run:
    the next sweep reports it then.
    """
    found = run_store.mark_delayed(Statements.of(session), run_id, alarm)
    if found is None:
        return None
    tenant_id, step, attempt, max_attempts, began, message, error, now = found
    facts = {
        "step": step,
        "attempt": attempt,
        "max_attempts": max_attempts,
        "duration_ms": milliseconds(began, now),
        "message": message,
        "error": error,
    }
    emit_all(session, [NewEvent(EventType.COMPENSATION_DELAYED, tenant_id, facts, run_id, now)], by=PLATFORM)
    return {"tenant": tenant_id, **facts}


def _is_delayed(alarm: timedelta) -> ColumnElement[bool]:
    return and_(
        col(RunStep.status) == StepStatus.COMPENSATING,
        col(RunStep.compensated_at).is_(None),
        col(RunStep.compensation_delayed_at).is_(None),
        col(RunStep.compensation_started_at) <= func.clock_timestamp() - alarm,
    )


def stuck_runs(session: Session) -> list[Run]:
    """Runs that are STUCK, oldest first. Index: runs_that_are_stuck."""
    stuck = select(Run).where(Run.status == RunStatus.STUCK).order_by(col(Run.id))
    return list(session.exec(stuck.limit(MAX_RUNS_PER_SWEEP)))

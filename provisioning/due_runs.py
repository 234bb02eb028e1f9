"""The sweeper's operations on runs that are due without an owner."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_
from sqlmodel import Session, col, select

from models import Run, RunStatus, RunStep, StepStatus
from provisioning import settlement
from provisioning.actors import PLATFORM
from provisioning.cancellation import cancel_provisioning
from provisioning.decisions import BACKWARD, FORWARD, next_move
from provisioning.errors import LedgerNotEmpty, ProvisioningRefused
from provisioning.events import EventType, NewEvent, emit_each
from provisioning.moves import Backward, Forward, Settle
from provisioning.wakeups import wake
from runtime.database import clock

logger = logging.getLogger(__name__)

MAX_RUNS_PER_SWEEP = 200
"""Limit of runs in one sweep, so that the transaction stays short even after an outage."""

MAX_RUNS_ENDED_AT_ONCE = 20
"""Limit of runs that one transaction ends: each takes several statements, and all stay locked until the commit."""

RETRY_SETTLING_AFTER = timedelta(minutes=1)
"""When a run that could not settle, because it still holds resources, is tried again."""

FULLY_COMPENSATED = and_(
    col(Run.status).in_(BACKWARD),
    ~exists().where(col(RunStep.run_id) == col(Run.id), RunStep.are_to_be_undone()),
)
"""A run that is being compensated and has no step left to compensate: it can settle."""

REDISPATCH_AFTER = timedelta(seconds=1)
"""A wake-up that no worker has acted on for this time is considered lost."""


def redispatch_due_runs(
    session: Session, statuses: Collection[RunStatus] = tuple(RunStatus), *, again: bool = True
) -> bool:
    """Send wake-ups for due runs in ``statuses`` without a recent one. Returns whether more runs may be due.

    Without ``again`` it skips runs that had a wake-up since they became due.

    This finds lost messages, lapsed leases, and back-offs and poll intervals that are over: all of them are due times
    in the run's row.
    """
    fresh = or_(col(Run.dispatched_at).is_(None), col(Run.dispatched_at) < col(Run.due_at))
    late = col(Run.dispatched_at) < func.clock_timestamp() - REDISPATCH_AFTER
    runs = _due_runs(
        session,
        MAX_RUNS_PER_SWEEP,
        col(Run.status).in_(statuses),
        or_(fresh, late) if again else fresh,
        ~FULLY_COMPENSATED,
    )
    if not runs:
        return False
    steps, now = settlement.steps_of(session, runs), clock(session)
    for run in runs:
        match next_move(run, steps[run.id]):
            case Forward() | Backward() as move:
                wake(session, run, move, now)
            case _:
                run.due_at = None
    return len(runs) == MAX_RUNS_PER_SWEEP


def end_due_runs(session: Session) -> bool:
    """End runs that have no step left to compensate. Returns whether there may be more. Needs no worker and no broker.

    A run that cannot settle, because it still holds resources, is tried again later and does not block the others.
    """
    runs = _due_runs(session, MAX_RUNS_ENDED_AT_ONCE, FULLY_COMPENSATED)
    for run in runs:
        position = settlement.position_of(session, run)
        move = next_move(run, position.steps)
        assert isinstance(move, Settle), f"no step is left to compensate, but the next move is {move}"
        try:
            with session.begin_nested():
                settlement.settle(session, position, move.status)
        except LedgerNotEmpty:
            logger.exception("run cannot settle, resources are still held", extra={"run": run.id})
            run.due_at = position.now + RETRY_SETTLING_AFTER
    return len(runs) == MAX_RUNS_ENDED_AT_ONCE


def _due_runs(session: Session, most: int, *conditions: ColumnElement[bool]) -> Sequence[Run]:
    """Due runs, locked. Runs that another transaction has locked are skipped."""
    return session.exec(
        select(Run)
        .where(col(Run.due_at) <= func.clock_timestamp(), *conditions)
        .order_by(col(Run.due_at))
        .limit(most)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()


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

    Index: undos_that_may_be_delayed.
    """
    return list(session.exec(select(RunStep.run_id).where(_is_delayed(alarm)).limit(MAX_RUNS_PER_SWEEP)))


def report_delayed_undo(session: Session, run_id: UUID, alarm: timedelta) -> dict[str, Any] | None:
    """Emit the event that an undo takes longer than ``alarm``, once for each undo. Returns its facts.

    Returns None if the undo was reported or has ended in the meantime, or if another transaction has locked the run:
    the next sweep reports it then.
    """
    found = session.execute(
        select(Run, RunStep, func.clock_timestamp())
        .join(RunStep, col(RunStep.run_id) == col(Run.id))
        .where(Run.id == run_id, _is_delayed(alarm))
        .with_for_update(key_share=True, skip_locked=True, of=Run)
    ).first()
    if found is None:
        return None
    run, step, now = found
    step.compensation_delayed_at = now
    facts = {
        "step": step.name,
        "attempt": step.compensation_attempts,
        "max_attempts": step.max_compensation_attempts,
        "duration_ms": settlement.milliseconds(step.compensation_started_at, now),
        "message": step.message,
        "error": step.compensation_error,
    }
    emit_each(session, EventType.COMPENSATION_DELAYED, [NewEvent(run.tenant_id, run.id, facts, now)], by=PLATFORM)
    return {"tenant": run.tenant_id, **facts}


def _is_delayed(alarm: timedelta) -> ColumnElement[bool]:
    return and_(
        col(RunStep.status) == StepStatus.COMPENSATING,
        col(RunStep.compensation_delayed_at).is_(None),
        col(RunStep.compensation_started_at) <= func.clock_timestamp() - alarm,
    )


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What the sweeper needs to know besides the due runs."""

    overdue: list[tuple[UUID, UUID]]
    stuck: list[Run]
    delayed: list[UUID]
    next_due_in: timedelta | None


def sweep_report(session: Session, undo_alarm: timedelta) -> SweepReport:
    """Runs past their deadline, stuck runs (oldest first), delayed undos, and the time until the next run is due."""
    stuck = select(Run).where(Run.status == RunStatus.STUCK).order_by(col(Run.id)).limit(MAX_RUNS_PER_SWEEP)
    now = func.clock_timestamp()
    due, seen_at = session.exec(select(func.min(Run.due_at), now).where(col(Run.due_at) > now)).one()
    return SweepReport(
        overdue_runs(session),
        list(session.exec(stuck)),
        delayed_undos(session, undo_alarm),
        due - seen_at if due else None,
    )

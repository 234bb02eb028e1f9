"""What is due and nobody is doing: the questions a sweeper asks."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_
from sqlmodel import Session, col, select

from models import Run, RunStatus, RunStep
from provisioning import settlement
from provisioning.actors import PLATFORM
from provisioning.cancellation import cancel_provisioning
from provisioning.decisions import BACKWARD, FORWARD, next_move
from provisioning.errors import LedgerNotEmpty, ProvisioningRefused
from provisioning.moves import Backward, Forward, Settle
from provisioning.wakeups import wake
from runtime.database import clock

logger = logging.getLogger(__name__)

MAX_RUNS_PER_SWEEP = 200
"""Runs in one sweep: a short transaction, also after an outage."""

MAX_RUNS_ENDED_AT_ONCE = 20
"""Runs that are ended in one transaction: each is some statements, and all of them stay locked until its commit."""

RETRY_SETTLING_AFTER = timedelta(minutes=1)
"""A run that holds something after all."""

FULLY_COMPENSATED = and_(
    col(Run.status).in_(BACKWARD),
    ~exists().where(col(RunStep.run_id) == col(Run.id), RunStep.are_to_be_undone()),
)
"""A run that goes backward and has no step left to undo: it can settle."""

REDISPATCH_AFTER = timedelta(seconds=1)
"""A wake-up that nobody answered for so long is taken for lost."""


def redispatch_due_runs(
    session: Session, statuses: Collection[RunStatus] = tuple(RunStatus), *, again: bool = True
) -> bool:
    """Wake workers for runs in ``statuses`` that are due and were not announced a moment ago; whether more may be due.

    Without ``again`` only those that were never announced since they are due.

    Finds lost messages, lapsed leases, back-offs and waits that are over: the row says all of these the same way.
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
    """End runs that have nothing left to undo; whether there may be more. It takes no worker, and no broker.

    One that cannot settle, because something is held after all, is looked at again later and keeps nobody else waiting.
    """
    runs = _due_runs(session, MAX_RUNS_ENDED_AT_ONCE, FULLY_COMPENSATED)
    for run in runs:
        position = settlement.position_of(session, run)
        move = next_move(run, position.steps)
        assert isinstance(move, Settle), f"nothing is left to undo, and {move} is next"
        try:
            with session.begin_nested():
                settlement.settle(session, position, move.status)
        except LedgerNotEmpty:
            logger.exception("a run that is due cannot settle", extra={"run": run.id})
            run.due_at = position.now + RETRY_SETTLING_AFTER
    return len(runs) == MAX_RUNS_ENDED_AT_ONCE


def _due_runs(session: Session, most: int, *conditions: ColumnElement[bool]) -> Sequence[Run]:
    """Under lock; whoever is locked already is somebody else's just now."""
    return session.exec(
        select(Run)
        .where(col(Run.due_at) <= func.clock_timestamp(), *conditions)
        .order_by(col(Run.due_at))
        .limit(most)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()


def overdue_runs(session: Session) -> list[tuple[UUID, UUID]]:
    """Tenant and run of everything that is past its deadline and still goes forward: a failure stays a failure."""
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
    """Cancel it as the platform; False when it ended, or somebody cancelled it, since we looked."""
    late = "It took longer than its deadline."
    try:
        change = cancel_provisioning(session, tenant_id, by=PLATFORM, reason=late, run_id=run_id)
    except ProvisioningRefused:
        return False
    return not change.already_requested


@dataclass(frozen=True, slots=True)
class Survey:
    """What a sweeper sees besides what is due."""

    overdue: list[tuple[UUID, UUID]]
    stuck: list[Run]
    next_due_in: timedelta | None


def survey(session: Session) -> Survey:
    """What is past its deadline, what waits for a person, oldest first, and how soon the next run is due."""
    stuck = select(Run).where(Run.status == RunStatus.STUCK).order_by(col(Run.id)).limit(MAX_RUNS_PER_SWEEP)
    now = func.clock_timestamp()
    due, seen_at = session.exec(select(func.min(Run.due_at), now).where(col(Run.due_at) > now)).one()
    return Survey(overdue_runs(session), list(session.exec(stuck)), due - seen_at if due else None)

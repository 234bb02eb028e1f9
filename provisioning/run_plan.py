"""Starting a run: its steps are copied into rows, so that a new release cannot change a run in progress."""

from datetime import datetime

from sqlalchemy import func
from sqlmodel import Session, col, select

from models import (
    Plan,
    Run,
    RunKind,
    RunStatus,
    RunStep,
    StepRole,
    StepStatus,
    Tenant,
)
from provisioning.actors import Actor
from provisioning.decisions import next_move
from provisioning.events import EventType, emit
from provisioning.moves import Backward, Forward
from provisioning.saga import Saga
from provisioning.wakeups import wake


def start_provisioning(session: Session, saga: Saga, tenant: Tenant, by: Actor, now: datetime) -> Run:
    """Start the tenant's next run at the first step. The caller has locked the tenant and made it PROVISIONING."""
    run = _new_run(session, tenant, RunKind.PROVISION, by, now)
    run.deadline_at = _deadline(session, tenant, now)
    steps = [
        RunStep(
            run_id=run.id,
            position=position,
            name=step.name,
            title=step.title,
            role=step.role,
            status=StepStatus.WAITING,
            interruptible=step.interruptible,
            timeout=step.timeout,
            max_attempts=step.attempts,
            compensation_timeout=step.undo_timeout or step.timeout,
            max_compensation_attempts=step.undo_attempts,
            compensation_time_limit=step.undo_time_limit,
        )
        for position, step in enumerate(saga, start=1)
    ]
    _insert(session, run, steps)
    facts = {
        "run_number": run.number,
        "slug": tenant.slug,
        "plan": tenant.plan_code,
        "requested_by": by.email or by.name,
    }
    emit(session, tenant, EventType.STARTED, facts, run=run, by=by, at=now)
    return run


def start_decommissioning(session: Session, tenant: Tenant, by: Actor, now: datetime) -> Run:
    """Start a run that compensates the steps of the tenant's last successful run."""
    source = session.exec(
        select(Run)
        .where(Run.tenant_id == tenant.id, Run.status == RunStatus.SUCCEEDED)
        .order_by(col(Run.number).desc())
        .limit(1)
    ).one()
    run = _new_run(session, tenant, RunKind.DECOMMISSION, by, now)
    run.status = RunStatus.COMPENSATING
    run.releases_run_id = source.id
    run.started_at = now
    _insert(session, run, [_copy_of(run, step) for step in _plan_of(session, source)])
    emit(session, tenant, EventType.DEPROVISIONING_STARTED, {"run_number": run.number}, run=run, by=by, at=now)
    return run


def _new_run(session: Session, tenant: Tenant, kind: RunKind, by: Actor, now: datetime) -> Run:
    last = session.exec(select(func.max(Run.number)).where(Run.tenant_id == tenant.id)).one()
    return Run(
        organisation_id=tenant.organisation_id,
        tenant_id=tenant.id,
        number=(last or 0) + 1,
        address=tenant.address,
        kind=kind,
        status=RunStatus.QUEUED,
        started_by_kind=by.kind,
        started_by_id=by.id,
        started_by_name=by.email or by.name,
        due_at=now,
        created_at=now,
    )


def _insert(session: Session, run: Run, steps: list[RunStep]) -> None:
    session.add(run)
    session.flush()
    session.add_all(steps)
    move = next_move(run, steps)
    assert isinstance(move, Forward | Backward), "a new run has a next move"
    wake(session, run, move, run.created_at)


def _deadline(session: Session, tenant: Tenant, now: datetime) -> datetime | None:
    allowed = tenant.provisioning_deadline or session.get_one(Plan, tenant.plan_code).provisioning_deadline
    return now + allowed if allowed else None


def _plan_of(session: Session, run: Run) -> list[RunStep]:
    return list(
        session.exec(
            select(RunStep)
            .where(RunStep.run_id == run.id, col(RunStep.role).in_([StepRole.STEP, StepRole.CONFIRMATION]))
            .order_by(col(RunStep.position))
        )
    )


def _copy_of(run: Run, step: RunStep) -> RunStep:
    """A copy for a decommission: steps are DONE and will be compensated, the absence check is still WAITING."""
    return RunStep(
        run_id=run.id,
        position=step.position,
        name=step.name,
        title=step.title,
        role=step.role,
        status=StepStatus.DONE if step.role is StepRole.STEP else StepStatus.WAITING,
        interruptible=step.interruptible,
        timeout=step.timeout,
        max_attempts=step.max_attempts,
        compensation_timeout=step.compensation_timeout,
        max_compensation_attempts=step.max_compensation_attempts,
        compensation_time_limit=step.compensation_time_limit,
    )

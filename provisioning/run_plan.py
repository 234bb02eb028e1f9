"""Starting a run: its steps are copied into rows, so that a new release cannot change a run in progress."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from models import Run, RunKind, RunStatus, RunStep, StepRole, StepStatus, Tenant
from models.columns import new_id
from provisioning import run_store
from provisioning.actors import Actor
from provisioning.event_types import EventType
from provisioning.events import NewEvent, emit, emit_all
from provisioning.moves import Backward, Forward
from provisioning.saga import Saga
from runtime.database import Statements


def start_provisioning(
    session: Session,
    saga: Saga,
    tenant: Tenant,
    by: Actor,
    now: datetime,
    *,
    deadline: timedelta | None,
    events: Sequence[NewEvent] = (),
) -> Run:
    """Start the tenant's next run at the first step. The caller has locked the tenant and made it PROVISIONING.

    ``deadline`` is the one of the tenant's plan. It is used when the tenant has none of its own. ``events`` are of the
    tenant, and precede that of the start.
    """
    steps: list[Mapping[str, object]] = [
        {
            "position": position,
            "name": step.name,
            "title": step.title,
            "role": step.role,
            "status": StepStatus.WAITING,
            "interruptible": step.interruptible,
            "timeout": step.timeout,
            "max_attempts": step.attempts,
            "compensation_timeout": step.undo_timeout or step.timeout,
            "max_compensation_attempts": step.undo_attempts,
            "compensation_time_limit": step.undo_time_limit,
        }
        for position, step in enumerate(saga, start=1)
    ]
    first = Forward(next(iter(saga)).name)
    allowed = tenant.provisioning_deadline or deadline
    deadline_at = now + allowed if allowed else None
    run = _insert(session, tenant, by, now, steps, first, status=RunStatus.QUEUED, deadline_at=deadline_at)
    facts = {
        "run_number": run.number,
        "slug": tenant.slug,
        "plan": tenant.plan_code,
        "requested_by": by.email or by.name,
    }
    emit_all(session, [*events, NewEvent(EventType.STARTED, tenant.id, facts, run.id, now)], by=by)
    return run


def start_decommissioning(session: Session, tenant: Tenant, by: Actor, now: datetime) -> Run:
    """Start a run that compensates the steps of the tenant's last successful run."""
    source = session.exec(
        select(Run)
        .where(Run.tenant_id == tenant.id, Run.status == RunStatus.SUCCEEDED)
        .order_by(col(Run.number).desc())
        .limit(1)
    ).one()
    planned = _plan_of(session, source)
    last = Backward([step.name for step in planned if step.role is StepRole.STEP][-1])
    run = _insert(
        session,
        tenant,
        by,
        now,
        [_copy_of(step) for step in planned],
        last,
        kind=RunKind.DECOMMISSION,
        status=RunStatus.COMPENSATING,
        releases_run_id=source.id,
        started_at=now,
    )
    emit(session, tenant, EventType.DEPROVISIONING_STARTED, {"run_number": run.number}, run=run, by=by, at=now)
    return run


def _insert(
    session: Session,
    tenant: Tenant,
    by: Actor,
    now: datetime,
    steps: Sequence[Mapping[str, object]],
    first: Forward | Backward,
    **values: object,
) -> Run:
    run_id = new_id()
    run_store.insert(
        Statements.of(session),
        {
            "id": run_id,
            "organisation_id": tenant.organisation_id,
            "tenant_id": tenant.id,
            "address": tenant.address,
            "kind": RunKind.PROVISION,
            "started_by_kind": by.kind,
            "started_by_id": by.id,
            "started_by_name": by.email or by.name,
            "due_at": now,
            "dispatched_at": now,
            "created_at": now,
            **values,
        },
        steps,
        first,
    )
    return session.get_one(Run, run_id)


def _plan_of(session: Session, run: Run) -> list[RunStep]:
    return list(
        session.exec(
            select(RunStep)
            .where(RunStep.run_id == run.id, col(RunStep.role).in_([StepRole.STEP, StepRole.CONFIRMATION]))
            .order_by(col(RunStep.position))
        )
    )


def _copy_of(step: RunStep) -> Mapping[str, object]:
    """A copy for a decommission: steps are DONE and will be compensated, the absence check is still WAITING."""
    return {
        "position": step.position,
        "name": step.name,
        "title": step.title,
        "role": step.role,
        "status": StepStatus.DONE if step.role is StepRole.STEP else StepStatus.WAITING,
        "interruptible": step.interruptible,
        "timeout": step.timeout,
        "max_attempts": step.max_attempts,
        "compensation_timeout": step.compensation_timeout,
        "max_compensation_attempts": step.max_compensation_attempts,
        "compensation_time_limit": step.compensation_time_limit,
    }

"""Sending the welcome mails of a live tenant again."""

from uuid import UUID

from sqlmodel import Session, col, select

from models import Run, RunStatus, RunStep, StepRole, StepStatus, Tenant, TenantState
from provisioning.actors import Actor
from provisioning.errors import IllegalMove
from provisioning.lookup import Change, locked_tenant, visible_tenant
from provisioning.moves import Forward
from provisioning.wakeups import wake
from runtime.database import clock


def resend_welcome_emails(
    session: Session, tenant_id: UUID, *, by: Actor, expected_version: int | None = None
) -> Change:
    """Have the mails that follow the pivot sent again. Mails that are on their way are not sent twice.

    Raises NotFound, VersionConflict, IllegalMove.
    """
    _check_active(visible_tenant(session, tenant_id, by))
    run = _locked_run(session, tenant_id)
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    _check_active(tenant)
    _repeat(session, run)
    return Change(tenant)


def _check_active(tenant: Tenant) -> None:
    if tenant.state is not TenantState.ACTIVE:
        raise IllegalMove(tenant.state, [TenantState.ACTIVE])


def _locked_run(session: Session, tenant_id: UUID) -> Run:
    """The run that brought the tenant to life. Locked before the tenant, like everywhere."""
    return session.exec(
        select(Run)
        .where(Run.tenant_id == tenant_id, Run.status == RunStatus.SUCCEEDED)
        .order_by(col(Run.number).desc())
        .limit(1)
        .with_for_update(key_share=True)
    ).one()


def _repeat(session: Session, run: Run) -> None:
    if run.due_at is not None:
        return
    steps = session.exec(select(RunStep).where(RunStep.run_id == run.id, RunStep.role == StepRole.AFTERWARDS)).all()
    for step in steps:
        step.status = StepStatus.WAITING
        step.attempts = 0
        step.error = step.started_at = step.finished_at = step.next_attempt_at = step.attempt_started_at = None
    if steps:
        run.due_at = now = clock(session)
        wake(session, run, Forward(steps[0].name), now)

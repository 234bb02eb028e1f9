"""The welcome e-mails of a new tenant."""

from uuid import UUID

from sqlmodel import Session, col, select

from models import Run, RunStatus, RunStep, StepRole, StepStatus, Tenant, TenantState
from provisioning.actors import Actor
from provisioning.errors import IllegalMove
from provisioning.locking import Change, locked_tenant, visible_tenant
from provisioning.moves import Forward
from provisioning.ports import Mail
from provisioning.step_context import TenantFacts
from provisioning.wakeups import wake
from runtime.database import clock


def resend_welcome_emails(
    session: Session, tenant_id: UUID, *, by: Actor, expected_version: int | None = None
) -> Change:
    """Send the welcome e-mails again. Does nothing while they are still being sent.

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
    """The tenant's last successful run, locked. Runs are always locked before their tenant."""
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
        step.attempts = step.parts_done = step.lost_workers = 0
        step.error = step.started_at = step.finished_at = step.next_attempt_at = step.attempt_started_at = None
        step.failing_since = None
    if steps:
        run.due_at = now = clock(session)
        wake(session, run, Forward(steps[0].name), now)


def welcome_mails(tenant: TenantFacts) -> list[Mail]:
    """The e-mails of a new tenant: welcome, console address and onboarding, in this order."""
    return [
        _mail(tenant, f"Welcome to {tenant.name}", f"{tenant.name} is live at {tenant.url}."),
        _mail(tenant, f"Where to manage {tenant.name}", f"Its console is at {tenant.console_url}."),
        _mail(
            tenant,
            f"First steps with {tenant.name}",
            f"Applications find the signing keys at {tenant.url}/.well-known/jwks.json "
            f"and the provider's description at {tenant.url}/.well-known/openid-configuration.",
        ),
    ]


def _mail(tenant: TenantFacts, subject: str, sentence: str) -> Mail:
    return Mail(tenant.first_admin_email, subject, f"Hello,\n\n{sentence}\n")

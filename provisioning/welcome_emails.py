"""The welcome e-mails of a new tenant."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func
from sqlmodel import Session, col, select

from models import Event, Run, RunStatus, StepRole, Tenant, TenantState
from provisioning import run_reader, run_store, transitions
from provisioning.actors import Actor
from provisioning.errors import IllegalMove, TooSoon
from provisioning.event_types import EventType
from provisioning.locking import Change, locked_tenant, visible_tenant
from provisioning.ports import Mail
from provisioning.step_context import TenantFacts
from runtime.database import Statements

REQUEST_INTERVAL = timedelta(minutes=10)
"""The welcome e-mails of a tenant can be requested once in this time."""

ADDRESS_WINDOW = timedelta(hours=1)
MAX_REQUESTS_PER_ADDRESS = 20
"""Requests in an organisation that may send to the same address within ADDRESS_WINDOW, for all its tenants together."""


def resend_welcome_emails(
    session: Session, tenant_id: UUID, *, by: Actor, expected_version: int | None = None
) -> Change:
    """Send the welcome e-mails again. Does nothing while they are still being sent.

    Raises NotFound, VersionConflict, IllegalMove, TooSoon.
    """
    _check_active(visible_tenant(session, tenant_id, by))
    run = _locked_run(session, tenant_id)
    tenant = locked_tenant(session, tenant_id, by, expected_version)
    _check_active(tenant)
    if run.due_at is None:
        _check_recent_requests(session, tenant)
        _repeat(session, run, by)
        session.refresh(tenant)
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


def _check_recent_requests(session: Session, tenant: Tenant) -> None:
    """Raise TooSoon when the caller could flood the first administrator's mailbox.

    Counts the requests that the caller can see. Index: feed_by_type.
    """
    age = func.clock_timestamp() - col(Event.created_at)
    same_address = func.lower(Tenant.first_admin_email) == tenant.first_admin_email.lower()
    recent = session.exec(
        select(Event.tenant_id, age)
        .join(Tenant, col(Tenant.id) == col(Event.tenant_id))
        .where(
            Event.organisation_id == tenant.organisation_id,
            Event.type == EventType.WELCOME_EMAIL_REQUESTED,
            age < ADDRESS_WINDOW,
            same_address,
        )
        .order_by(age)
        .limit(MAX_REQUESTS_PER_ADDRESS)
    ).all()
    own = next((age for tenant_id, age in recent if tenant_id == tenant.id), None)
    if own is not None and own < REQUEST_INTERVAL:
        raise TooSoon("The welcome e-mails of this tenant were requested a moment ago", REQUEST_INTERVAL - own)
    if len(recent) == MAX_REQUESTS_PER_ADDRESS:
        what = f"Welcome e-mails to this address were requested {len(recent)} times within an hour"
        raise TooSoon(what, ADDRESS_WINDOW - recent[-1][1])


def _repeat(session: Session, run: Run, by: Actor) -> None:
    statements = Statements.of(session)
    position = run_reader.read(statements, run.id)
    assert position is not None, "the run is locked"
    requested = transitions.follow_up_requested(position, StepRole.AFTERWARDS, EventType.WELCOME_EMAIL_REQUESTED, by)
    run_store.write(statements, requested)


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

"""Locked reads of a tenant or its live run. A tenant that the actor cannot access is reported as not found."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, select

from models import Run, Tenant
from provisioning.actors import Actor
from provisioning.errors import NotFound, VersionConflict


@dataclass(frozen=True, slots=True)
class Change:
    """What a command changed. ``already_requested``: an earlier cancel request was found, so nothing changed."""

    tenant: Tenant
    run: Run | None = None
    already_requested: bool = False


def locked_tenant(session: Session, tenant_id: UUID, by: Actor, expected_version: int | None = None) -> Tenant:
    """The tenant, locked and freshly read. Raises NotFound, VersionConflict."""
    tenant = session.exec(
        select(Tenant)
        .where(Tenant.id == tenant_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if tenant is None or not by.can_access(tenant):
        raise NotFound("tenant")
    if expected_version is not None and expected_version != tenant.version:
        raise VersionConflict(expected_version, tenant.version)
    return tenant


def visible_tenant(session: Session, tenant_id: UUID, by: Actor) -> Tenant:
    """The tenant, freshly read and not locked. Raises NotFound."""
    tenant = session.exec(
        select(Tenant).where(Tenant.id == tenant_id).execution_options(populate_existing=True)
    ).one_or_none()
    if tenant is None or not by.can_access(tenant):
        raise NotFound("tenant")
    return tenant


def locked_live_run(session: Session, tenant_id: UUID) -> Run | None:
    """The tenant's run that has not settled, locked. Cancelling and activating both lock this row."""
    return session.exec(
        select(Run)
        .where(Run.tenant_id == tenant_id, col(Run.finished_at).is_(None))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()

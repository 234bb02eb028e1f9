"""Reads the state, with the public key, of the tenant that has an address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func
from sqlmodel import Session, col, select

from models import Run, RunStatus, SigningKey, Tenant, TenantState


@dataclass(frozen=True, slots=True)
class EdgeTenant:
    """What the edge needs to know of a tenant. ``public_jwk`` is None when the tenant has no signing key.

    ``was_live`` is whether the address was ever served: then strangers may learn that it was closed.
    """

    state: TenantState
    public_jwk: Mapping[str, Any] | None
    was_live: bool


def tenant_at(session: Session, address: str) -> EdgeTenant | None:
    """Read the tenant in one query; None when no tenant ever had this address.

    Index: runs_are_numbered_per_tenant.
    """
    active_key = and_(col(SigningKey.tenant_id) == col(Tenant.id), col(SigningKey.destroyed_at).is_(None))
    # At most one tenant has an address now. A decommissioned tenant that had it may be the newer one, because a slug
    # can be corrected.
    current_first = (col(Tenant.state) == TenantState.DECOMMISSIONED, col(Tenant.created_at).desc())
    newest_first = (*current_first, col(Tenant.id).desc(), col(SigningKey.created_at).desc())
    succeeded = select(func.bool_or(col(Run.status) == RunStatus.SUCCEEDED)).where(col(Run.tenant_id) == col(Tenant.id))
    was_live = func.coalesce(succeeded.scalar_subquery(), True)  # without any run it cannot be told
    query = (
        select(Tenant.state, SigningKey.public_jwk, was_live)
        .join(SigningKey, active_key, isouter=True)
        .where(Tenant.address == address)
        .order_by(*newest_first)
        .limit(1)
    )
    row = session.exec(query).first()
    return EdgeTenant(TenantState(row[0]), row[1], row[2]) if row else None

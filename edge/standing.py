"""What the edge has to know to answer for an address: how the tenant that has it stands, and that one's public key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_
from sqlmodel import Session, col, select

from models import SigningKey, Tenant, TenantState


@dataclass(frozen=True, slots=True)
class Standing:
    """One row."""

    state: TenantState
    public_jwk: Mapping[str, Any] | None


def standing_of(session: Session, address: str) -> Standing | None:
    """Read it in one query; None when nobody ever had this address."""
    held = and_(col(SigningKey.tenant_id) == col(Tenant.id), col(SigningKey.destroyed_at).is_(None))
    # One tenant at most holds an address; a closed one that had it may be younger, because slugs can be corrected.
    holder_first = (col(Tenant.state) == TenantState.DECOMMISSIONED, col(Tenant.created_at).desc())
    newest_first = (*holder_first, col(Tenant.id).desc(), col(SigningKey.created_at).desc())
    query = (
        select(Tenant.state, SigningKey.public_jwk)
        .join(SigningKey, held, isouter=True)
        .where(Tenant.address == address)
        .order_by(*newest_first)
        .limit(1)
    )
    row = session.exec(query).first()
    return Standing(TenantState(row[0]), row[1]) if row else None

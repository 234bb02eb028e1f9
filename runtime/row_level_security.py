"""How far a caller reaches: the role that its transactions run under, and what row-level security goes by."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session

CALLERS = "tenantry_api"
"""Owns nothing; sees and changes rows of one organisation."""

LIMITED = "tenantry_limited"
"""The same, of some tenants of that organisation."""

SUPPORT = "tenantry_support"
"""Owns nothing; sees rows of all organisations and changes none, but for putting on record what it was denied."""

SET_ROLE = """
    SELECT set_config('tenantry.caller', %s, true),
           set_config('tenantry.organisation', %s, true),
           set_config('tenantry.tenants', %s, true),
           set_config('role', %s, true)
"""
"""All of it until the transaction ends, however it ends: what SET LOCAL does, in one round trip.

A setting that is missing, or empty, reaches nothing.
"""


@dataclass(frozen=True, slots=True)
class RowScope:
    """What exists for a caller. ``organisation`` None: all of them, to look at; ``tenants`` None: all there."""

    caller: UUID
    organisation: UUID | None
    tenants: frozenset[UUID] | None = None

    @property
    def role(self) -> str:
        """The role that owns nothing under which this caller's statements run."""
        if self.organisation is None:
            return SUPPORT
        return CALLERS if self.tenants is None else LIMITED


def set_role(session: Session, row_scope: RowScope) -> None:
    """Give up, until the transaction ends, every right but those within reach."""
    tenants = f"{{{','.join(map(str, row_scope.tenants or ()))}}}"  # as Postgres writes an array
    wanted = (str(row_scope.caller), str(row_scope.organisation or ""), tenants, row_scope.role)
    # Every transaction of the API begins with it: as the driver takes it, it costs half.
    session.connection().exec_driver_sql(SET_ROLE, wanted)

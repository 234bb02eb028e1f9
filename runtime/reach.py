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

GO_UNDER = """
    SELECT set_config('tenantry.caller', %s, true),
           set_config('tenantry.organisation', %s, true),
           set_config('tenantry.tenants', %s, true),
           set_config('role', %s, true)
"""
"""All of it until the transaction ends, however it ends: what SET LOCAL does, in one round trip.

A setting that is missing, or empty, reaches nothing.
"""


@dataclass(frozen=True, slots=True)
class Reach:
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


def go_under(session: Session, reach: Reach) -> None:
    """Give up, until the transaction ends, every right but those within reach."""
    tenants = f"{{{','.join(map(str, reach.tenants or ()))}}}"  # as Postgres writes an array
    wanted = (str(reach.caller), str(reach.organisation or ""), tenants, reach.role)
    # Every transaction of the API begins with it: as the driver takes it, it costs half.
    session.connection().exec_driver_sql(GO_UNDER, wanted)

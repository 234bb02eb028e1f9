"""The row scope of a caller: a database role with the settings that the policies read."""

from dataclasses import dataclass, replace
from typing import Self
from uuid import UUID

from sqlmodel import Session

API_ROLE = "tenantry_api"
"""Owns nothing; may read and change rows of one organisation."""

MANAGER_ROLE = "tenantry_manager"
"""The same, and manages members and service accounts."""

LIMITED_ROLE = "tenantry_limited"
"""The same as ``tenantry_api``, for some tenants of that organisation."""

SUPPORT_ROLE = "tenantry_support"
"""Owns nothing; may read rows of all organisations. It writes only the record of what it was denied."""

CALLERS_ROLES = (API_ROLE, MANAGER_ROLE, LIMITED_ROLE, SUPPORT_ROLE)

SET_ROLE = """
    SELECT set_config('tenantry.caller', %s, true),
           set_config('tenantry.organisation', %s, true),
           set_config('tenantry.tenants', %s, true),
           set_config('role', %s, true)
"""
"""Everything is valid until the end of the transaction, as with SET LOCAL, but in one round trip.

A setting that is missing or empty matches no row.
"""


@dataclass(frozen=True, slots=True)
class RowScope:
    """The rows of a caller. ``organisation`` None: all organisations, read-only; ``tenants`` None: all of them.

    ``manages``: members and service accounts can be read completely, and changed.
    """

    caller: UUID
    organisation: UUID | None
    tenants: frozenset[UUID] | None = None
    manages: bool = False

    def managing(self) -> Self:
        """The same rows, with the right to manage members and service accounts."""
        return replace(self, manages=True)

    @property
    def role(self) -> str:
        """The role that this caller's statements run under. It owns nothing."""
        if self.organisation is None:
            return SUPPORT_ROLE
        if self.tenants is not None:
            return LIMITED_ROLE
        return MANAGER_ROLE if self.manages else API_ROLE


def set_role(session: Session, row_scope: RowScope) -> None:
    """Restrict the session to the rows of ``row_scope`` until the transaction ends."""
    tenants = f"{{{','.join(map(str, row_scope.tenants or ()))}}}"  # the array syntax of Postgres
    parameters = (str(row_scope.caller), str(row_scope.organisation or ""), tenants, row_scope.role)
    # Every transaction of the API begins with this statement: run by the driver directly, it costs half.
    session.connection().exec_driver_sql(SET_ROLE, parameters)

"""Who does something: the name an event carries, and whose tenants it reaches."""

from dataclasses import dataclass
from uuid import UUID

from models import ActorKind, Tenant
from runtime.row_level_security import RowScope


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts.

    ``organisation_id`` None reaches every organisation (the platform, support); ``tenant_ids`` None reaches every
    tenant there (a service account may be limited to some).
    """

    kind: ActorKind
    id: UUID
    name: str
    email: str | None = None
    organisation_id: UUID | None = None
    tenant_ids: frozenset[UUID] | None = None

    @property
    def row_scope(self) -> RowScope:
        """The same for Postgres, which holds the actor's transactions to it."""
        return RowScope(self.id, self.organisation_id, self.tenant_ids)

    def can_access(self, tenant: Tenant) -> bool:
        """Whether this tenant exists for the actor."""
        return self.organisation_id in {None, tenant.organisation_id} and (
            self.tenant_ids is None or tenant.id in self.tenant_ids
        )


PLATFORM = Actor(ActorKind.SYSTEM, UUID(int=0), "Tenantry")
"""The actor behind deadlines and everything else that no person asked for."""

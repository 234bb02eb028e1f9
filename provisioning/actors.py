"""Actors: the identity that an event carries, with the tenants that it can access."""

from dataclasses import dataclass
from uuid import UUID

from models import ActorKind, Tenant
from runtime.connection_shares import Holder
from runtime.row_level_security import RowScope


@dataclass(frozen=True, slots=True)
class Actor:
    """The identity behind a command, a query or an event.

    ``organisation_id`` None gives access to every organisation (the platform, support). ``tenant_ids`` None gives
    access to every tenant of the organisation; a service account can be limited to some.
    """

    kind: ActorKind
    id: UUID
    name: str
    email: str | None = None
    organisation_id: UUID | None = None
    tenant_ids: frozenset[UUID] | None = None

    @property
    def row_scope(self) -> RowScope:
        """The same access as a row scope, which Postgres enforces in the actor's transactions."""
        return RowScope(self.id, self.organisation_id, self.tenant_ids)

    @property
    def holder(self) -> Holder:
        """The actor as the holder of connections, points and slots. Without an organisation it is its own."""
        return Holder(self.id, self.organisation_id or self.id)

    def can_access(self, tenant: Tenant) -> bool:
        """Whether the actor has access to this tenant."""
        return self.organisation_id in {None, tenant.organisation_id} and (
            self.tenant_ids is None or tenant.id in self.tenant_ids
        )


PLATFORM = Actor(ActorKind.SYSTEM, UUID(int=0), "Tenantry")
"""The actor of what the platform does by itself, for example a cancel at a deadline."""

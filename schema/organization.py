"""The account that owns tenants, as clients see it."""

from uuid import UUID

import strawberry

from models import Organisation
from schema.context import Info
from schema.node import Node, global_id


@strawberry.type(description="The account that owns tenants, members, service accounts and the audit feed.")
class Organization(Node):
    """An organisation."""

    key: strawberry.Private[UUID]
    id: strawberry.ID = strawberry.field(description="Global id.")
    slug: str = strawberry.field(description="Immutable; part of every tenant's address.")
    name: str = strawberry.field(description="Name to show.")
    plan: str = strawberry.field(description="Plan code.")

    @classmethod
    def of(cls, row: Organisation) -> "Organization":
        """What clients see of a row."""
        return cls(key=row.id, id=global_id("Organization", row.id), slug=row.slug, name=row.name, plan=row.plan_code)

    @strawberry.field(description="Tenants that count against the quota now.")
    async def tenants_used(self, info: Info) -> int:
        """From the tenants' states."""
        quota = await info.context.loaders.quotas.load(self.key)
        return quota.used if quota else 0

    @strawberry.field(description="How many may count at once; null means no limit.")
    async def tenants_allowed(self, info: Info) -> int | None:
        """From the plan."""
        quota = await info.context.loaders.quotas.load(self.key)
        return quota.allowed if quota else 0

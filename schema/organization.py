"""The account that owns tenants, as clients see it."""

from uuid import UUID

import strawberry

from access import members, service_accounts
from models import Organisation
from schema import member as people
from schema import service_account as programs
from schema.context import Info
from schema.errors import Forbidden
from schema.node import Node, global_id
from schema.pagination import After, Before, First, Last, given


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

    @strawberry.field(description="Its people, oldest first; for those who may manage members.")
    async def members(
        self,
        info: Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> people.MemberConnection:
        """Paged by the time at which they were recorded."""
        _demand_manager(info)
        window = people.CURSORS.below(self.key).window(given(first), given(after), given(last), given(before))
        page = await info.context.transact(members.members, window, by=info.context.actor, of=self.key)
        return people.MemberConnection.of(page)

    @strawberry.field(
        description="Its partners' programs, oldest first, revoked ones too; for those who may manage members."
    )
    async def service_accounts(
        self,
        info: Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> programs.ServiceAccountConnection:
        """Paged by the time at which they were created."""
        _demand_manager(info)
        window = programs.CURSORS.below(self.key).window(given(first), given(after), given(last), given(before))
        page = await info.context.transact(
            service_accounts.service_accounts, window, by=info.context.actor, of=self.key
        )
        return programs.ServiceAccountConnection.of(page)


def _demand_manager(info: Info) -> None:
    if not info.context.caller.manages_members:
        raise Forbidden("This needs the right members:manage, which you do not have.")

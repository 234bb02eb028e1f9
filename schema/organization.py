"""An organisation in the GraphQL schema."""

from uuid import UUID

import strawberry

from access import members, service_accounts
from access.permissions import Permission
from models import Organisation
from schema import member as member_types
from schema import service_account as service_account_types
from schema.context import Info
from schema.described import described_field, described_type
from schema.node import Node, global_id
from schema.pagination import After, Before, First, Last, given


@described_type
class Organization(Node):
    """The account that owns tenants, members, service accounts and an audit feed."""

    key: strawberry.Private[UUID]
    slug: str = strawberry.field(description="Part of the address of each of its tenants. Never changes.")
    name: str = strawberry.field(description="Display name; nothing is derived from it.")
    plan: str = strawberry.field(description="Code of the organisation's plan, which sets tenantsAllowed.")

    @classmethod
    def of(cls, row: Organisation) -> "Organization":
        """Convert a row."""
        return cls(key=row.id, id=global_id("Organization", row.id), slug=row.slug, name=row.name, plan=row.plan_code)

    @described_field
    async def tenants_used(self, info: Info) -> int:
        """Number of tenants that count for the quota now, also those that the caller may not see.

        Tenants count in PROVISIONING, ACTIVE, SUSPENDED and DECOMMISSIONING.
        """
        quota = await info.context.loaders.quotas.load(self.key)
        return quota.used if quota else 0

    @described_field
    async def tenants_allowed(self, info: Info) -> int | None:
        """Largest number of tenants that may count for the quota at once; null means no limit."""
        quota = await info.context.loaders.quotas.load(self.key)
        return quota.allowed if quota else 0

    @described_field
    async def members(
        self,
        info: Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> member_types.MemberConnection:
        """The organisation's people, oldest first. FORBIDDEN for callers without the right members:manage."""
        info.context.require(Permission.MANAGE_MEMBERS)
        window = member_types.CURSORS.below(self.key).window(given(first), given(after), given(last), given(before))
        page = await info.context.transact(members.members, window, by=info.context.actor, of=self.key)
        return member_types.MemberConnection.of(page)

    @described_field
    async def service_accounts(
        self,
        info: Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> service_account_types.ServiceAccountConnection:
        """The identities of its partners' programs, oldest first, with revoked ones.

        FORBIDDEN for callers without the right members:manage.
        """
        info.context.require(Permission.MANAGE_MEMBERS)
        window = service_account_types.CURSORS.below(self.key).window(
            given(first), given(after), given(last), given(before)
        )
        page = await info.context.transact(
            service_accounts.service_accounts, window, by=info.context.actor, of=self.key
        )
        return service_account_types.ServiceAccountConnection.of(page)

"""A tenant, as clients see it."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Optional

import strawberry

from access.permissions import TenantAction
from models import Resource as ResourceRow
from models import Tenant as TenantRow
from models import TenantState
from provisioning.preview import Preview, preview_of
from schema import run as runs
from schema.context import Info
from schema.node import Node, global_id
from schema.organization import Organization
from schema.pagination import After, Before, First, Last, given
from schema.resource import Resource
from schema.step import RunStep

if TYPE_CHECKING:
    from schema.run import ProvisioningRun, ProvisioningRunConnection


@strawberry.type(description="What cancelling would do at this moment.")
class CancellationPreview:
    """A look ahead."""

    step_in_flight: RunStep | None = strawberry.field(description="The step being performed, null when none is.")
    interruptible: bool = strawberry.field(
        description="Whether that step stops at its next safe point; otherwise it is waited for."
    )
    releases: list[Resource] = strawberry.field(description="What would be released, in the order of release.")

    @classmethod
    def of(cls, preview: Preview) -> "CancellationPreview":
        """What clients see of it."""
        step = preview.step_in_flight
        return cls(
            step_in_flight=RunStep.of(step) if step else None,
            interruptible=preview.interruptible,
            releases=[Resource.of(row) for row in preview.releases],
        )


@strawberry.type(description="One isolated environment of an organisation.")
class Tenant(Node):
    """A tenant."""

    row: strawberry.Private[TenantRow]
    id: strawberry.ID = strawberry.field(description="Global id.")
    database_id: str = strawberry.field(description="The id used in dashboard addresses and logs.")
    slug: str = strawberry.field(description="Unique in its organisation until decommissioned; fit for a host name.")
    name: str = strawberry.field(description="Name to show; nothing is derived from it.")
    region: str = strawberry.field(description="Where it runs.")
    state: TenantState = strawberry.field(description="Where it stands.")
    plan: str = strawberry.field(description="Plan code.")
    provisioning_deadline: timedelta | None = strawberry.field(
        description="A run that takes longer is cancelled by the platform; null means never."
    )
    version: int = strawberry.field(
        description="Grows by one with every change. Pass it as expectedVersion to guard a mutation."
    )
    created_at: datetime = strawberry.field(description="When it was created.")
    updated_at: datetime = strawberry.field(description="When it last changed.")

    @classmethod
    def of(cls, row: TenantRow) -> "Tenant":
        """What clients see of a row."""
        return cls(
            row=row,
            id=global_id("Tenant", row.id),
            database_id=str(row.id),
            slug=row.slug,
            name=row.name,
            region=row.region,
            state=row.state,
            plan=row.plan_code,
            provisioning_deadline=row.provisioning_deadline,
            version=row.version,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    @classmethod
    def of_optional(cls, row: TenantRow | None) -> "Tenant | None":
        """What clients see of a row, if there is one."""
        return cls.of(row) if row else None

    @strawberry.field(description="The organisation that owns it.")
    async def organization(self, info: Info) -> Organization:
        """Its owner."""
        row = await info.context.loaders.organisations.load(self.row.organisation_id)
        assert row is not None, "the organisation of a tenant that was shown exists"
        return Organization.of(row)

    @strawberry.field(
        description="Its address; answers only while ACTIVE (SUSPENDED says so, everything else is not found)."
    )
    def url(self, info: Info) -> str:
        """Where it answers."""
        return info.context.settings.tenant_url(self.row.address)

    @strawberry.field(description="First administrator. Null for callers without the right to see it.")
    def first_admin_email(self, info: Info) -> str | None:
        """Personal data."""
        return self.row.first_admin_email if info.context.caller.sees_first_admins else None

    @strawberry.field(
        description="Every resource it holds or may hold now, from the ledger. Empty means that nothing is held."
    )
    async def held_resources(self, info: Info) -> list[Resource]:
        """The ledger's open rows."""
        return [Resource.of(row) for row in await info.context.loaders.held.load(self.row.id) or []]

    @strawberry.field(description="What cancelProvisioning would do now; null when there is nothing to cancel.")
    async def cancellation_preview(self, info: Info) -> CancellationPreview | None:
        """From the live run and its ledger."""
        loaders = info.context.loaders
        run = await loaders.live_runs.load(self.row.id) if info.context.caller.reads_tenants else None
        if run is None:
            return None
        resources: list[ResourceRow] = await loaders.resources.load(run.id) or []
        preview = preview_of(run, await loaders.steps.load(run.id) or [], resources)
        return CancellationPreview.of(preview) if preview else None

    @strawberry.field(description="What the caller may do now, from state and permissions.")
    async def available_actions(self, info: Info) -> list[TenantAction]:
        """The buttons a page should offer."""
        run = await info.context.loaders.live_runs.load(self.row.id)
        return list(info.context.caller.actions_on(self.row, run))

    @strawberry.field(description="The run that is working now, null when none is.")
    async def current_run(self, info: Info) -> Optional[Annotated["ProvisioningRun", strawberry.lazy("schema.run")]]:  # noqa: UP045  # lazy has no |
        """The run that has not settled."""
        if not info.context.caller.reads_tenants:
            return None
        return runs.ProvisioningRun.of_optional(await info.context.loaders.live_runs.load(self.row.id))

    @strawberry.field(description="All runs, newest first.")
    async def runs(
        self,
        info: Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Annotated["ProvisioningRunConnection", strawberry.lazy("schema.run")]:
        """Its runs, paged by number."""
        window = runs.CURSORS.below(self.row.id).window(given(first), given(after), given(last), given(before))
        page = await info.context.loaders.runs_of_tenants.load((self.row.id, window))
        return runs.ProvisioningRunConnection.of(page)

    @strawberry.field(description="The tenant this one was made again from.")
    async def recreated_from(self, info: Info) -> "Tenant | None":
        """Its predecessor under the same slug."""
        key = self.row.recreated_from_id if info.context.caller.reads_tenants else None
        return Tenant.of_optional(await info.context.loaders.tenants.load(key)) if key else None


@strawberry.type(description="One tenant in a page.")
class TenantEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Cursor of this item.")
    node: Tenant = strawberry.field(description="The tenant.")

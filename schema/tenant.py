"""A tenant in the GraphQL schema."""

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
from schema.described import described_field, described_type
from schema.node import Node, global_id
from schema.organization import Organization
from schema.pagination import After, Before, Edge, First, Last, given
from schema.resource import Resource
from schema.step import RunStep

if TYPE_CHECKING:
    from schema.run import ProvisioningRun, ProvisioningRunConnection


@described_type
class CancellationPreview:
    """What cancelProvisioning would stop and release if it was called now."""

    step_in_flight: RunStep | None = strawberry.field(
        description="The step that is RUNNING and would be stopped; null when none is."
    )
    interruptible: bool = strawberry.field(
        description="Whether that step stops at its next safe point; otherwise it runs to its end before the undo "
        "begins. True when no step is RUNNING."
    )
    releases: list[Resource] = strawberry.field(
        description="Resources that would be released, in the order of their release; the last step's come first."
    )

    @classmethod
    def of(cls, preview: Preview) -> "CancellationPreview":
        """Convert a preview."""
        step = preview.step_in_flight
        return cls(
            step_in_flight=RunStep.of(step) if step else None,
            interruptible=preview.interruptible,
            releases=[Resource.of(row) for row in preview.releases],
        )


@described_type
class Tenant(Node):
    """An isolated environment of an organisation, with resources and an address of its own."""

    row: strawberry.Private[TenantRow]
    database_id: str = strawberry.field(
        description="The UUID in dashboard addresses, logs and the data of events. Query.tenant accepts it as well."
    )
    slug: str = strawberry.field(
        description="First part of the address. Unique among the organisation's tenants that are not DECOMMISSIONED."
    )
    name: str = strawberry.field(description="Display name, 1 to 80 characters; nothing is derived from it.")
    region: str = strawberry.field(description="Region that the deployer runs the tenant in.")
    state: TenantState = strawberry.field(
        description="Where the tenant is in its lifecycle. Mutations and finished runs change it, and each change adds "
        "one to version."
    )
    plan: str = strawberry.field(description="Code of the plan; provisioningOptions lists the codes.")
    provisioning_deadline: timedelta | None = strawberry.field(
        description="The platform cancels a run that has not gone live this long after it was queued. Applies to runs "
        "that start later. Null: the deadline of the plan applies, if the plan has one."
    )
    version: int = strawberry.field(
        description="Grows with each change of a value or of the state; a recorded cancel alone does not change it. "
        "Pass it as expectedVersion so that a mutation is refused when the tenant has changed since you read it."
    )
    created_at: datetime = strawberry.field(description="When the tenant was created, in UTC.")
    updated_at: datetime = strawberry.field(
        description="When a value or the state last changed, or a cancel, a stuck undo or its resumption was recorded. "
        "Progress of a run does not change it."
    )

    @classmethod
    def of(cls, row: TenantRow) -> "Tenant":
        """Convert a row."""
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
        """Convert a row, or None."""
        return cls.of(row) if row else None

    @described_field
    async def organization(self, info: Info) -> Organization:
        """The organisation that owns the tenant."""
        row = await info.context.loaders.organisations.load(self.row.organisation_id)
        assert row is not None, "the organisation of a visible tenant exists"
        return Organization.of(row)

    @described_field
    def url(self, info: Info) -> str:
        """Address of the tenant, from its slug and the organisation's.

        It serves the tenant only while ACTIVE. It answers 503 while SUSPENDED, 410 in DECOMMISSIONING and
        DECOMMISSIONED if the tenant was ever ACTIVE, and 404 otherwise, as an address that no tenant has.
        """
        return info.context.settings.tenant_url(self.row.address)

    @described_field
    def first_admin_email(self, info: Info) -> str | None:
        """E-mail address of the first administrator, who receives the welcome e-mails.

        Null for callers without the right tenants:first-admin: support, and service accounts without tenants:write.
        """
        return self.row.first_admin_email if info.context.caller.sees_first_admins else None

    @described_field
    async def held_resources(self, info: Info) -> list[Resource]:
        """Resources that the tenant holds or may hold, from the ledger, in order of creation.

        What an operator abandoned is not among them, although it may still exist: see abandonedResources. FORBIDDEN for
        callers without the right tenants:read.
        """
        return [Resource.of(row) for row in await info.context.loaders.held.load(self.row.id) or []]

    @described_field
    async def abandoned_resources(self, info: Info) -> list[Resource]:
        """Resources of all runs that an operator abandoned and that may still exist, in order of creation.

        They are not among heldResources: the product neither uses nor removes them. A resource that an absence check
        did not find any more is not listed. FORBIDDEN for callers without the right tenants:read.
        """
        return [Resource.of(row) for row in await info.context.loaders.abandoned.load(self.row.id) or []]

    @described_field
    async def cancellation_preview(self, info: Info) -> CancellationPreview | None:
        """What cancelProvisioning would stop and release now.

        Null when no provisioning run is under way or its cancel is already recorded, and for callers without the right
        tenants:read.
        """
        loaders = info.context.loaders
        run = await loaders.live_runs.load(self.row.id) if info.context.caller.reads_tenants else None
        if run is None:
            return None
        resources: list[ResourceRow] = await loaders.resources.load(run.id) or []
        preview = preview_of(run, await loaders.steps.load(run.id) or [], resources)
        return CancellationPreview.of(preview) if preview else None

    @described_field
    async def available_actions(self, info: Info) -> list[TenantAction]:
        """What the caller may do with the tenant now: the state, the current run and the caller's rights allow it."""
        run = await info.context.loaders.live_runs.load(self.row.id)
        return list(info.context.caller.actions_on(self.row, run))

    @described_field
    async def current_run(self, info: Info) -> Optional[Annotated["ProvisioningRun", strawberry.lazy("schema.run")]]:  # noqa: UP045  # lazy has no |
        """The run that has not ended, which can be waiting in QUEUED or STUCK.

        Null when there is none, and for callers without the right tenants:read.
        """
        if not info.context.caller.reads_tenants:
            return None
        return runs.ProvisioningRun.of_optional(await info.context.loaders.live_runs.load(self.row.id))

    @described_field
    async def runs(
        self,
        info: Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Annotated["ProvisioningRunConnection", strawberry.lazy("schema.run")]:
        """All runs of the tenant, the newest first, the current one included.

        FORBIDDEN for callers without the right tenants:read.
        """
        window = runs.CURSORS.below(self.row.id).window(given(first), given(after), given(last), given(before))
        page = await info.context.loaders.runs_of_tenants.load((self.row.id, window))
        return runs.ProvisioningRunConnection.of(page)

    @described_field
    async def recreated_from(self, info: Info) -> "Tenant | None":
        """The DECOMMISSIONED tenant that recreateTenant copied.

        Null for other tenants, and for callers without the right tenants:read.
        """
        key = self.row.recreated_from_id if info.context.caller.reads_tenants else None
        return Tenant.of_optional(await info.context.loaders.tenants.load(key)) if key else None


@described_type
class TenantEdge(Edge):
    """One tenant with its position in the list."""

    node: Tenant = strawberry.field(description="The tenant at this position.")

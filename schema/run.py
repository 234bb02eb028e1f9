"""A run, as clients see it: the handle that cancelling acts on."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import strawberry

from models import UNDONE_STATUSES, Run, RunKind, RunStatus
from provisioning import ledger
from provisioning.pagination import Page
from schema import tenant as tenants
from schema import timeline as timelines
from schema.absence_check import AbsenceCheck
from schema.actor import Actor
from schema.context import Info
from schema.node import Node, global_id
from schema.pagination import After, Before, Cursors, First, Last, PageInfo, given, number
from schema.resource import Resource
from schema.step import RunStep, time_spent

if TYPE_CHECKING:
    from schema.tenant import Tenant
    from schema.timeline import ProvisioningEventConnection

CURSORS = Cursors("runs", (number,))
"""Of all tenants; ``below`` gives those of one."""


@strawberry.type(description="Who asked a run to stop, when and why.")
class CancelRequest:
    """A cancel on record."""

    requested_at: datetime = strawberry.field(description="When it was committed.")
    requested_by: Actor = strawberry.field(description="Who asked first.")
    reason: str | None = strawberry.field(description="In the caller's words.")
    step_in_flight: str | None = strawberry.field(
        description="The step being performed when it was asked for, null when none was."
    )

    @classmethod
    def of(cls, row: Run) -> "CancelRequest | None":
        """The request that a run's row records."""
        if row.cancel_requested_at is None or row.cancel_actor_kind is None or row.cancel_actor_id is None:
            return None
        return cls(
            requested_at=row.cancel_requested_at,
            requested_by=Actor.of(row.cancel_actor_kind, row.cancel_actor_id, row.cancel_actor_name or ""),
            reason=row.cancel_reason,
            step_in_flight=row.cancel_step_in_flight,
        )


@strawberry.type(description="One numbered execution of the saga for one tenant: the handle that cancelling acts on.")
class ProvisioningRun(Node):
    """A run."""

    row: strawberry.Private[Run]
    id: strawberry.ID = strawberry.field(description="Global id.")
    number: int = strawberry.field(description="1 for the first run of a tenant; every retry adds one.")
    kind: RunKind = strawberry.field(description="What it is for.")
    status: RunStatus = strawberry.field(description="How it goes.")
    cancellable: bool = strawberry.field(description="Whether cancelProvisioning would be accepted.")
    cancel_request: CancelRequest | None = strawberry.field(
        description="The cancel on record, null when none was asked for."
    )
    started_by: Actor = strawberry.field(description="Who started it.")
    started_at: datetime | None = strawberry.field(description="When the first step began.")
    finished_at: datetime | None = strawberry.field(description="When the run ended, compensations included.")
    elapsed: timedelta | None = strawberry.field(description="Time spent so far.")

    @classmethod
    def of(cls, row: Run) -> "ProvisioningRun":
        """What clients see of a row."""
        return cls(
            row=row,
            id=global_id("ProvisioningRun", row.id),
            number=row.number,
            kind=row.kind,
            status=row.status,
            cancellable=row.cancellable,
            cancel_request=CancelRequest.of(row),
            started_by=Actor.of(row.started_by_kind, row.started_by_id, row.started_by_name),
            started_at=row.started_at,
            finished_at=row.finished_at,
            elapsed=time_spent(row.started_at, row.finished_at),
        )

    @classmethod
    def of_optional(cls, row: Run | None) -> "ProvisioningRun | None":
        """What clients see of a row, if there is one."""
        return cls.of(row) if row else None

    @strawberry.field(description="Every step of the saga as it was when the run began, in running order.")
    async def steps(self, info: Info) -> list[RunStep]:
        """The plan, and how far it is."""
        return [RunStep.of(row) for row in await info.context.loaders.steps.load(self.row.id) or []]

    @strawberry.field(
        description="Every resource this run ever intended, with what became of it. "
        "A decommissioning run shows what it releases."
    )
    async def resources(self, info: Info) -> list[Resource]:
        """The ledger."""
        key = ledger.run_that_took(self.row)
        return [Resource.of(row) for row in await info.context.loaders.resources.load(key) or []]

    @strawberry.field(
        description="What the adapters themselves answered after the run was undone, oldest first. "
        "Empty before, and for a run that went live."
    )
    async def absence_checks(self, info: Info) -> list[AbsenceCheck]:
        """The proof that nothing is held."""
        return [AbsenceCheck.of(row) for row in await info.context.loaders.absence_checks.load(self.row.id) or []]

    @strawberry.field(
        description="When the adapters are asked again whether anything of it is there, or have just begun to be; "
        "null before it was undone, and after the last look."
    )
    def next_absence_check_at(self, info: Info) -> datetime | None:
        """Of a run that somebody is at, the due time is the lease's end: the look is now."""
        if self.row.status not in UNDONE_STATUSES:
            return None
        held_until = self.row.lease_until
        return held_until - info.context.settings.lease if held_until else self.row.due_at

    @strawberry.field(description="Its tenant.")
    async def tenant(self, info: Info) -> Annotated["Tenant", strawberry.lazy("schema.tenant")]:
        """As it is now."""
        row = await info.context.loaders.tenants.load(self.row.tenant_id)
        assert row is not None, "the tenant of a run that was shown exists"
        return tenants.Tenant.of(row)

    @strawberry.field(description="What happened, oldest first.")
    async def timeline(
        self,
        info: Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Annotated["ProvisioningEventConnection", strawberry.lazy("schema.timeline")]:
        """Its events, paged by number."""
        window = timelines.CURSORS.below(self.row.tenant_id).window(
            given(first), given(after), given(last), given(before)
        )
        page = await info.context.loaders.timelines.load((self.row.id, window))
        return timelines.ProvisioningEventConnection.of(page)


@strawberry.type(description="One run in a page.")
class ProvisioningRunEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Cursor of this item.")
    node: ProvisioningRun = strawberry.field(description="The run.")


@strawberry.type(description="A page of runs.")
class ProvisioningRunConnection:
    """A page."""

    edges: list[ProvisioningRunEdge] = strawberry.field(description="Edges, with cursors.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")

    @classmethod
    def of(cls, page: Page[Run]) -> "ProvisioningRunConnection":
        """What clients see of a page."""
        edges = [
            ProvisioningRunEdge(
                cursor=CURSORS.below(row.tenant_id).write((row.number,)),
                node=ProvisioningRun.of(row),
            )
            for row in page.rows
        ]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))

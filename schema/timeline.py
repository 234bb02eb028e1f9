"""The timeline of a run, as clients see it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from models import Event
from models.columns import new_id
from provisioning.audit_feed import Progress
from provisioning.pagination import Page
from schema import run as runs
from schema.context import Info
from schema.enums import ProvisioningEventKind
from schema.node import Node, global_id
from schema.pagination import Cursors, PageInfo, number
from schema.timeline_messages import message_of, progress_message

if TYPE_CHECKING:
    from schema.run import ProvisioningRun

CURSORS = Cursors("timeline", (number,))
"""Of all tenants; ``below`` gives those of one, good for the timeline of any of its runs."""


@strawberry.type(description="One entry of a provisioning timeline.")
class ProvisioningEvent(Node):
    """An entry."""

    run_key: strawberry.Private[UUID]
    id: strawberry.ID = strawberry.field(description="Global id.")
    cursor: str = strawberry.field(description="Pass it as after to go on from here.")
    sequence: int | None = strawberry.field(
        description="Position in the tenant's history, from 1, without gaps. Null for STEP_PROGRESS."
    )
    kind: ProvisioningEventKind = strawberry.field(description="What it tells.")
    step: str | None = strawberry.field(description="Step name, null for entries about the whole run.")
    message: str = strawberry.field(description="A sentence for people.")
    occurred_at: datetime = strawberry.field(description="When it happened.")

    @classmethod
    def of(cls, row: Event) -> "ProvisioningEvent":
        """What clients see of an event that belongs into a timeline."""
        assert row.run_id is not None, "a timeline is a run's"
        assert row.tenant_id is not None, "a run is a tenant's"
        kind, message = message_of(row)
        return cls(
            run_key=row.run_id,
            id=global_id("ProvisioningEvent", row.id),
            cursor=CURSORS.below(row.tenant_id).write((row.sequence,)),
            sequence=row.sequence,
            kind=kind,
            step=row.data.get("step"),
            message=message,
            occurred_at=row.created_at,
        )

    @classmethod
    def of_progress(cls, progress: Progress, tenant_id: UUID, after: int) -> "ProvisioningEvent":
        """How far a step is, or that it is at work, told to somebody who has seen everything up to ``after``."""
        return cls(
            run_key=progress.run_id,
            id=global_id("ProvisioningEvent", new_id()),
            cursor=CURSORS.below(tenant_id).write((after,)),
            sequence=None,
            kind=ProvisioningEventKind.STEP_PROGRESS,
            step=progress.step,
            message=progress_message(progress),
            occurred_at=progress.shown_at,
        )

    @strawberry.field(description="The run.")
    async def run(self, info: Info) -> Annotated["ProvisioningRun", strawberry.lazy("schema.run")]:
        """As it is now."""
        row = await info.context.loaders.runs.load(self.run_key)
        assert row is not None, "the run of an event that was shown exists"
        return runs.ProvisioningRun.of(row)


@strawberry.type(description="One entry in a page.")
class ProvisioningEventEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Cursor of this item.")
    node: ProvisioningEvent = strawberry.field(description="The entry.")


@strawberry.type(description="A page of timeline entries.")
class ProvisioningEventConnection:
    """A page."""

    edges: list[ProvisioningEventEdge] = strawberry.field(description="Edges, with cursors.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")

    @classmethod
    def of(cls, page: Page[Event]) -> "ProvisioningEventConnection":
        """What clients see of a page."""
        nodes = [ProvisioningEvent.of(row) for row in page.rows]
        edges = [ProvisioningEventEdge(cursor=node.cursor, node=node) for node in nodes]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))

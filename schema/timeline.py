"""The timeline of a run in the GraphQL schema."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from models import Event
from models.columns import new_id
from provisioning.anchors import Anchor
from provisioning.audit_feed import Progress
from provisioning.pagination import Key, Page, Window
from schema import run as runs
from schema.context import Info
from schema.described import described_field, described_type
from schema.enums import ProvisioningEventKind
from schema.node import Node, global_id
from schema.pagination import EDGES, PAGE_INFO, Cursors, Edge, PageInfo, key, number, optional
from schema.timeline_messages import kind_of, message_of, progress_message
from schema.visible_facts import visible_facts

if TYPE_CHECKING:
    from schema.run import ProvisioningRun

CURSORS = Cursors("timeline", (number, optional(key)), optional=1)
"""Cursors of all tenants; ``below`` returns those of one, valid for the timelines of all of its runs. The sequence is
followed by the event's id, which shows whether the database still has the event."""


def place_in(tenant_id: UUID, cursor: Key) -> Anchor:
    """The place of a cursor in the tenant's history."""
    sequence, event_id = cursor
    return Anchor(event_id, sequence, tenant_id=tenant_id)


def window_of(tenant_id: UUID, first: int | None, after: str | None, last: int | None, before: str | None) -> Window:
    """The page of a run's timeline that the arguments request. Raises BadUserInput."""
    window = CURSORS.below(tenant_id).window(first, after, last, before)
    places = [place_in(tenant_id, cursor) if cursor else None for cursor in (window.after, window.before)]
    keys = [(place.sequence,) if place else None for place in places]
    return replace(window, after=keys[0], before=keys[1], anchors=tuple(place for place in places if place))


@described_type
class ProvisioningEvent(Node):
    """One entry in the timeline of a run."""

    run_key: strawberry.Private[UUID]
    said_by: strawberry.Private[Event | Progress]
    id: strawberry.ID = strawberry.field(
        description="Global id: opaque, and unchanged as long as the object exists. STEP_PROGRESS is not stored, so "
        "node returns null for its id."
    )
    cursor: str = strawberry.field(
        description="Position in the tenant's history: pass it as after to receive only later entries. STEP_PROGRESS "
        "has the cursor of the entry before it."
    )
    sequence: int | None = strawberry.field(
        description="Number of the event in the tenant's history, from 1. A timeline leaves numbers out, because some "
        "events concern no run: that of a first run begins with 2, after tenant.created. Null for STEP_PROGRESS."
    )
    kind: ProvisioningEventKind = strawberry.field(description="What happened, for programs. New kinds may be added.")
    step: str | None = strawberry.field(
        description="Name of the step that the entry is about; null when it is about the whole run."
    )
    occurred_at: datetime = strawberry.field(description="Time of the event in UTC, by the database's clock.")

    @classmethod
    def of(cls, row: Event) -> "ProvisioningEvent":
        """Convert an event of a type in TIMELINE."""
        assert row.run_id is not None, "an event of a timeline has a run"
        assert row.tenant_id is not None, "an event of a run has a tenant"
        return cls(
            run_key=row.run_id,
            said_by=row,
            id=global_id("ProvisioningEvent", row.id),
            cursor=CURSORS.below(row.tenant_id).write((row.sequence, row.id)),
            sequence=row.sequence,
            kind=kind_of(row),
            step=row.data.get("step"),
            occurred_at=row.created_at,
        )

    @classmethod
    def of_progress(cls, progress: Progress, tenant_id: UUID, after: Anchor) -> "ProvisioningEvent":
        """Convert the progress of a step, for a client that has received all entries up to ``after``."""
        return cls(
            run_key=progress.run_id,
            said_by=progress,
            id=global_id("ProvisioningEvent", new_id()),
            cursor=CURSORS.below(tenant_id).write((after.sequence, after.event_id)),
            sequence=None,
            kind=ProvisioningEventKind.STEP_PROGRESS,
            step=progress.step,
            occurred_at=progress.read_at,
        )

    @described_field
    def message(self, info: Info) -> str:
        """What happened, as a sentence for people. The wording may change: programs read kind."""
        if isinstance(self.said_by, Progress):
            return progress_message(self.said_by)
        return message_of(self.said_by, visible_facts(self.said_by.data, info.context.caller))[1]

    @described_field
    async def run(self, info: Info) -> Annotated["ProvisioningRun", strawberry.lazy("schema.run")]:
        """The run as it is now."""
        row = await info.context.loaders.runs.load(self.run_key)
        assert row is not None, "the run of a visible event exists"
        return runs.ProvisioningRun.of(row)


@described_type
class ProvisioningEventEdge(Edge):
    """One timeline entry with its position in the list."""

    node: ProvisioningEvent = strawberry.field(description="The timeline entry at this position.")


@described_type
class ProvisioningEventConnection:
    """A page of a run's timeline, the oldest entry first."""

    edges: list[ProvisioningEventEdge] = strawberry.field(description=EDGES)
    page_info: PageInfo = strawberry.field(description=PAGE_INFO)

    @classmethod
    def of(cls, page: Page[Event]) -> "ProvisioningEventConnection":
        """Convert a page of rows."""
        nodes = [ProvisioningEvent.of(row) for row in page.rows]
        edges = [ProvisioningEventEdge(cursor=node.cursor, node=node) for node in nodes]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))

"""The audit feed in the GraphQL schema."""

from datetime import datetime
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from models import Event
from provisioning.anchors import Anchor
from provisioning.audit_feed import EventFilter
from provisioning.errors import NotFound as NoSuchObject
from provisioning.pagination import Key, Page
from schema.actor import Actor
from schema.context import Info
from schema.described import described_field, described_input, described_type
from schema.errors import BadUserInput, NotFound
from schema.node import Node, global_id, uuid_of
from schema.pagination import EDGES, PAGE_INFO, Cursors, Edge, PageInfo, given, key, number, optional
from schema.run import ProvisioningRun
from schema.tenant import Tenant
from schema.visible_facts import visible_facts

CURSORS = Cursors("audit", (number, number, optional(number), optional(key)), optional=1)
"""Rank and position in the organisation's order, the sequence in the tenant's, and the event's id: valid for both
orders. The id shows whether the database still has the event."""


@described_input
class AuditEventFilter:
    """Conditions on audit events. An event has to meet all that are given."""

    tenant_id: strawberry.ID | None = strawberry.field(
        description="Only events of the tenant with this global id.", default=strawberry.UNSET
    )
    run_id: strawberry.ID | None = strawberry.field(
        description="Only events of the run with this global id, its absence checks included.",
        default=strawberry.UNSET,
    )
    actor_id: strawberry.ID | None = strawberry.field(
        description="Only events of the actor with this global id: the id of an Actor, not of a Member or "
        "ServiceAccount.",
        default=strawberry.UNSET,
    )
    type_in: list[str] | None = strawberry.field(
        description="Only events of these types. A prefix with .* stands for all types that begin with it: "
        "tenant.provisioning.*. An empty list matches no event.",
        default=strawberry.UNSET,
    )
    occurred_from: datetime | None = strawberry.field(
        description="Only events at this time or later.", default=strawberry.UNSET
    )
    occurred_until: datetime | None = strawberry.field(
        description="Only events before this time, which is not included.", default=strawberry.UNSET
    )

    def to_domain(self) -> EventFilter:
        """Convert the conditions that were given. Raises NotFound for an id of another type."""
        try:
            return EventFilter(
                tenant_id=_optional_uuid("Tenant", self.tenant_id),
                run_id=_optional_uuid("ProvisioningRun", self.run_id, called="run"),
                actor_id=_optional_uuid("Actor", self.actor_id),
                types=given(self.type_in),
                occurred_from=given(self.occurred_from),
                occurred_until=given(self.occurred_until),
            )
        except NoSuchObject as refusal:
            raise NotFound.like(refusal) from None


def _optional_uuid(type_name: str, id: strawberry.ID | None, *, called: str | None = None) -> UUID | None:
    requested = given(id)
    return None if requested is None else uuid_of(type_name, requested, called=called or type_name.lower())


@described_type
class AuditEvent(Node):
    """One event of the audit feed, written in the transaction of the change that it describes, and never changed."""

    row: strawberry.Private[Event]
    cursor: str = strawberry.field(
        description="Position in the feed. With this value as after, auditEvents continues with older events and "
        "auditEventAdded with newer ones."
    )
    type: str = strawberry.field(
        description="Dotted name such as tenant.provisioning.cancelled. A name never changes, and new ones may be "
        "added: ignore those that you do not know."
    )
    occurred_at: datetime = strawberry.field(
        description="Time of the event in UTC, by the database's clock. The feed is in the order of commits, which can "
        "differ."
    )
    actor: Actor = strawberry.field(
        description="Who caused the event: the platform for what it does by itself, such as the end of a failed run."
    )
    request_id: str | None = strawberry.field(
        description="Id of the request that caused the event, the X-Request-ID of its response; null for events of "
        "workers."
    )

    @classmethod
    def of(cls, row: Event) -> "AuditEvent":
        """Convert a row."""
        return cls(
            row=row,
            id=global_id("AuditEvent", row.id),
            cursor=CURSORS.write((row.rank, row.position, row.sequence, row.id)),
            type=row.type,
            occurred_at=row.created_at,
            actor=Actor.of_event(row),
            request_id=row.request_id,
        )

    @described_field
    async def tenant(self, info: Info) -> Tenant | None:
        """The tenant as it is now.

        Null for events that concern no tenant, and for callers without the right tenants:read.
        """
        key = self.row.tenant_id if info.context.caller.reads_tenants else None
        return Tenant.of_optional(await info.context.loaders.tenants.load(key)) if key else None

    @described_field
    async def run(self, info: Info) -> ProvisioningRun | None:
        """The run as it is now.

        Null for events that concern no run, and for callers without the right tenants:read.
        """
        key = self.row.run_id if info.context.caller.reads_tenants else None
        return ProvisioningRun.of_optional(await info.context.loaders.runs.load(key)) if key else None

    @described_field
    def data(self, info: Info) -> JSON:
        """Facts of the event; which ones depends on the type and is listed in docs/audit-feed.md.

        E-mail addresses of first administrators and of people who acted are left out for callers that may not see them.
        """
        return JSON(visible_facts(self.row.data, info.context.caller))


@described_type
class AuditEventEdge(Edge):
    """One audit event with its position in the list."""

    node: AuditEvent = strawberry.field(description="The audit event at this position.")


@described_type
class AuditEventConnection:
    """A page of audit events, the newest first."""

    edges: list[AuditEventEdge] = strawberry.field(description=EDGES)
    page_info: PageInfo = strawberry.field(description=PAGE_INFO)

    @classmethod
    def of(cls, page: Page[Event]) -> "AuditEventConnection":
        """Convert a page of rows."""
        nodes = [AuditEvent.of(row) for row in page.rows]
        edges = [AuditEventEdge(cursor=node.cursor, node=node) for node in nodes]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))


def anchor_at(cursor: Key) -> Anchor:
    """The event at a cursor."""
    rank, position, sequence, event_id = cursor
    return Anchor(event_id, sequence, rank, position)


def place_in(conditions: EventFilter, cursor: Key) -> Key:
    """The place of a cursor in the order of a filter. Raises BadUserInput when the cursor has none there."""
    rank, position, sequence, _ = cursor
    if not conditions.of_one_tenant:
        return rank, position
    if sequence is None:
        raise BadUserInput("This cursor is of an event without a tenant: pass a cursor of an event of this tenant.")
    return (sequence,)

"""The audit feed, as clients see it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from models import Event
from provisioning.audit_feed import EventFilter as Wanted
from provisioning.errors import NotFound as Unknown
from provisioning.pagination import Key, Page
from schema.actor import Actor
from schema.context import Info
from schema.errors import BadUserInput, NotFound
from schema.node import Node, global_id, uuid_of
from schema.pagination import Cursors, PageInfo, given, number
from schema.run import ProvisioningRun
from schema.tenant import Tenant

PERSONAL = frozenset({"first_admin_email"})
"""Facts that only those see who may see a tenant's first administrator."""


def _optional_number(value: object) -> int | None:
    return None if value is None else number(value)


CURSORS = Cursors("audit", (number, number, _optional_number))
"""A place in the organisation's order, and the number in the tenant's history: good for either."""


@strawberry.input(description="Conditions on audit entries, all of which must hold.")
class AuditEventFilter:
    """A filter."""

    tenant_id: strawberry.ID | None = strawberry.field(description="Only this tenant.", default=strawberry.UNSET)
    run_id: strawberry.ID | None = strawberry.field(description="Only this run.", default=strawberry.UNSET)
    actor_id: strawberry.ID | None = strawberry.field(description="Only this actor.", default=strawberry.UNSET)
    type_in: list[str] | None = strawberry.field(
        description="Type is one of these; a trailing .* matches a family.", default=strawberry.UNSET
    )
    occurred_from: datetime | None = strawberry.field(description="Happened at or after.", default=strawberry.UNSET)
    occurred_until: datetime | None = strawberry.field(description="Happened before.", default=strawberry.UNSET)

    def to_domain(self) -> Wanted:
        """The conditions that were given. Raises NotFound for ids of something else."""
        try:
            return Wanted(
                tenant_id=_named("Tenant", self.tenant_id),
                run_id=_named("ProvisioningRun", self.run_id, called="run"),
                actor_id=_named("Actor", self.actor_id),
                types=given(self.type_in),
                occurred_from=given(self.occurred_from),
                occurred_until=given(self.occurred_until),
            )
        except Unknown as refusal:
            raise NotFound.like(refusal) from None


def _named(type_name: str, id: strawberry.ID | None, *, called: str | None = None) -> UUID | None:
    wanted = given(id)
    return None if wanted is None else uuid_of(type_name, wanted, called=called or type_name.lower())


@strawberry.type(description="One entry of the audit feed.")
class AuditEvent(Node):
    """An entry."""

    row: strawberry.Private[Event]
    id: strawberry.ID = strawberry.field(description="Global id.")
    cursor: str = strawberry.field(description="Pass it as after to go on from here.")
    type: str = strawberry.field(description="Dotted name such as tenant.provisioning.cancelled. New names may appear.")
    occurred_at: datetime = strawberry.field(description="When it happened.")
    actor: Actor = strawberry.field(description="Who did it.")
    request_id: str | None = strawberry.field(description="The request that caused it.")

    @classmethod
    def of(cls, row: Event) -> "AuditEvent":
        """What clients see of a row."""
        return cls(
            row=row,
            id=global_id("AuditEvent", row.id),
            cursor=CURSORS.write((row.rank, row.position, row.sequence)),
            type=row.type,
            occurred_at=row.created_at,
            actor=Actor.of_event(row),
            request_id=row.request_id,
        )

    @strawberry.field(
        description="The tenant, null for events of the organisation and for callers without the right to read tenants."
    )
    async def tenant(self, info: Info) -> Tenant | None:
        """As it is now."""
        key = self.row.tenant_id if info.context.caller.reads_tenants else None
        return Tenant.of_optional(await info.context.loaders.tenants.load(key)) if key else None

    @strawberry.field(
        description="The run, null when none was involved and for callers without the right to read tenants."
    )
    async def run(self, info: Info) -> ProvisioningRun | None:
        """As it is now."""
        key = self.row.run_id if info.context.caller.reads_tenants else None
        return ProvisioningRun.of_optional(await info.context.loaders.runs.load(key)) if key else None

    @strawberry.field(description="Facts, as documented for the type.")
    def data(self, info: Info) -> JSON:
        """Without personal data for those who may not see it."""
        facts = self.row.data
        return JSON(facts if info.context.caller.sees_first_admins else impersonal(facts))


@strawberry.type(description="One audit entry in a page.")
class AuditEventEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Cursor of this item.")
    node: AuditEvent = strawberry.field(description="The entry.")


@strawberry.type(description="A page of audit entries.")
class AuditEventConnection:
    """A page."""

    edges: list[AuditEventEdge] = strawberry.field(description="Edges, with cursors.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")

    @classmethod
    def of(cls, page: Page[Event]) -> "AuditEventConnection":
        """What clients see of a page."""
        nodes = [AuditEvent.of(row) for row in page.rows]
        edges = [AuditEventEdge(cursor=node.cursor, node=node) for node in nodes]
        return cls(edges=edges, page_info=PageInfo.of(page, [edge.cursor for edge in edges]))


def place_in(wanted: Wanted, cursor: Key) -> Key:
    """What a cursor says in the order of a filter. Raises BadUserInput when it says nothing there."""
    rank, position, sequence = cursor
    if not wanted.of_one_tenant:
        return rank, position
    if sequence is None:
        raise BadUserInput("This is the cursor of an organisation's entry; one of this tenant's is needed.")
    return (sequence,)


def impersonal(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts without personal data, however deep."""
    return {
        name: impersonal(value) if isinstance(value, Mapping) else value
        for name, value in facts.items()
        if name not in PERSONAL
    }

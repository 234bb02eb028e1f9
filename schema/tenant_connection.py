"""The list of tenants in the GraphQL schema."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import strawberry

from models import Tenant as TenantRow
from models import TenantState
from provisioning import queries
from provisioning.pagination import Order, Page
from provisioning.queries import TenantSort, count_tenants, tenant_order
from schema.context import Info
from schema.described import described_field, described_input, described_type
from schema.enums import OrderDirection, TenantOrderField
from schema.pagination import EDGES, PAGE_INFO, Cursors, PageInfo, given, instant, key, text
from schema.tenant import Tenant, TenantEdge

READERS: dict[TenantOrderField, Callable[[object], object]] = {
    TenantOrderField.CREATED_AT: instant,
    TenantOrderField.UPDATED_AT: instant,
    TenantOrderField.SLUG: text,
}


@described_input
class TenantFilter:
    """Conditions on tenants. A tenant has to meet all that are given."""

    state_in: list[TenantState] | None = strawberry.field(
        description="Only tenants in one of these states. An empty list matches none.", default=strawberry.UNSET
    )
    plan_in: list[str] | None = strawberry.field(
        description="Only tenants with one of these plan codes. An empty list matches none.", default=strawberry.UNSET
    )
    slug_prefix: str | None = strawberry.field(
        description="Only tenants with a slug that begins with this text, in lower case.", default=strawberry.UNSET
    )
    created_from: datetime | None = strawberry.field(
        description="Only tenants created at this time or later.", default=strawberry.UNSET
    )
    created_until: datetime | None = strawberry.field(
        description="Only tenants created before this time, which is not included.", default=strawberry.UNSET
    )

    has_abandoned_resources: bool | None = strawberry.field(
        description="True: only tenants with abandonedResources, which may still exist. False: only tenants without.",
        default=strawberry.UNSET,
    )

    def to_domain(self) -> queries.TenantFilter:
        """Convert the conditions that were given."""
        return queries.TenantFilter(
            states=given(self.state_in),
            plans=given(self.plan_in),
            slug_prefix=given(self.slug_prefix),
            created_from=given(self.created_from),
            created_until=given(self.created_until),
            has_abandoned_resources=given(self.has_abandoned_resources),
        )


@described_input
class TenantOrder:
    """Sort order of tenants. Tenants with equal values are sorted by id, in the same direction."""

    field: TenantOrderField = strawberry.field(description="Value to sort by. A cursor is valid for one order only.")
    direction: OrderDirection = strawberry.field(description="Whether the smallest or the largest value comes first.")

    def to_domain(self) -> Order:
        """Convert the order."""
        return tenant_order(TenantSort[self.field.name], descending=self.direction is OrderDirection.DESC)

    @property
    def cursors(self) -> Cursors:
        """The cursors of this order."""
        return Cursors(f"tenants {self.field} {self.direction}", (READERS[self.field], key))

    def place_of(self, row: TenantRow) -> tuple[object, UUID]:
        """The key of a row in this order."""
        return getattr(row, TenantSort[self.field.name].value), row.id


NEWEST_FIRST = TenantOrder(field=TenantOrderField.CREATED_AT, direction=OrderDirection.DESC)


@described_type
class TenantConnection:
    """A page of tenants in the requested order."""

    conditions: strawberry.Private[queries.TenantFilter]
    edges: list[TenantEdge] = strawberry.field(description=EDGES)
    nodes: list[Tenant] = strawberry.field(description="The same tenants as in edges, without their cursors.")
    page_info: PageInfo = strawberry.field(description=PAGE_INFO)

    @classmethod
    def of(cls, page: Page[TenantRow], order: TenantOrder, conditions: queries.TenantFilter) -> "TenantConnection":
        """Convert a page of rows."""
        edges = [edge_of(row, order) for row in page.rows]
        return cls(
            conditions=conditions,
            edges=edges,
            nodes=[edge.node for edge in edges],
            page_info=PageInfo.of(page, [edge.cursor for edge in edges]),
        )

    @described_field
    async def total_count(self, info: Info) -> int:
        """Number of tenants on all pages together. 10000 means 10000 or more: the count stops there."""
        return await info.context.transact(count_tenants, self.conditions, by=info.context.actor)


def edge_of(row: TenantRow, order: TenantOrder = NEWEST_FIRST) -> TenantEdge:
    """Convert a row, with its position in an order."""
    return TenantEdge(cursor=order.cursors.write(order.place_of(row)), node=Tenant.of(row))

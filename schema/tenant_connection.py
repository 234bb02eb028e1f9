"""The list of tenants: its conditions, its order, its pages."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import strawberry

from models import Tenant as TenantRow
from models import TenantState
from provisioning.pagination import Order, Page
from provisioning.queries import TenantFilter as Wanted
from provisioning.queries import TenantSort, count_tenants, tenant_order
from schema.context import Info
from schema.enums import OrderDirection, TenantOrderField
from schema.pagination import Cursors, PageInfo, given, instant, key, text
from schema.tenant import Tenant, TenantEdge

READERS: dict[TenantOrderField, Callable[[object], object]] = {
    TenantOrderField.CREATED_AT: instant,
    TenantOrderField.UPDATED_AT: instant,
    TenantOrderField.SLUG: text,
}


@strawberry.input(description="Conditions on tenants, all of which must hold.")
class TenantFilter:
    """A filter."""

    state_in: list[TenantState] | None = strawberry.field(
        description="State is one of these.", default=strawberry.UNSET
    )
    plan_in: list[str] | None = strawberry.field(description="Plan is one of these.", default=strawberry.UNSET)
    slug_prefix: str | None = strawberry.field(description="Slug begins with this.", default=strawberry.UNSET)
    created_from: datetime | None = strawberry.field(description="Created at or after.", default=strawberry.UNSET)
    created_until: datetime | None = strawberry.field(description="Created before.", default=strawberry.UNSET)

    def to_domain(self) -> Wanted:
        """The conditions that were given."""
        return Wanted(
            states=given(self.state_in),
            plans=given(self.plan_in),
            slug_prefix=given(self.slug_prefix),
            created_from=given(self.created_from),
            created_until=given(self.created_until),
        )


@strawberry.input(description="Sort order of tenants. The id breaks ties.")
class TenantOrder:
    """An order."""

    field: TenantOrderField = strawberry.field(description="Sort key.")
    direction: OrderDirection = strawberry.field(description="Direction.")

    def to_domain(self) -> Order:
        """The order as the database knows it."""
        return tenant_order(TenantSort[self.field.name], descending=self.direction is OrderDirection.DESC)

    @property
    def cursors(self) -> Cursors:
        """A cursor of one order means nothing in another."""
        return Cursors(f"tenants {self.field} {self.direction}", (READERS[self.field], key))

    def place_of(self, row: TenantRow) -> tuple[object, UUID]:
        """Where a row lies in this order."""
        return getattr(row, TenantSort[self.field.name].value), row.id


NEWEST_FIRST = TenantOrder(field=TenantOrderField.CREATED_AT, direction=OrderDirection.DESC)


@strawberry.type(description="A page of tenants.")
class TenantConnection:
    """A page."""

    wanted: strawberry.Private[Wanted]
    edges: list[TenantEdge] = strawberry.field(description="Edges, with cursors.")
    nodes: list[Tenant] = strawberry.field(description="The same page without edges.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")

    @classmethod
    def of(cls, page: Page[TenantRow], order: TenantOrder, wanted: Wanted) -> "TenantConnection":
        """What clients see of a page."""
        edges = [edge_of(row, order) for row in page.rows]
        return cls(
            wanted=wanted,
            edges=edges,
            nodes=[edge.node for edge in edges],
            page_info=PageInfo.of(page, [edge.cursor for edge in edges]),
        )

    @strawberry.field(description="How many match the filter, counted up to 10000.")
    async def total_count(self, info: Info) -> int:
        """Counted only when asked for."""
        return await info.context.transact(count_tenants, self.wanted, by=info.context.actor)


def edge_of(row: TenantRow, order: TenantOrder = NEWEST_FIRST) -> TenantEdge:
    """A tenant with its place in an order."""
    return TenantEdge(cursor=order.cursors.write(order.place_of(row)), node=Tenant.of(row))

"""The queries for tenants."""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

import strawberry

from access.permissions import Permission
from models import Tenant as TenantRow
from provisioning import queries
from schema.context import Context, Info
from schema.execution import names_below
from schema.loaders import Related
from schema.node import parts_of, plain_key
from schema.pagination import After, Before, First, Last, given
from schema.tenant import Tenant
from schema.tenant_connection import NEWEST_FIRST, TenantConnection, TenantFilter, TenantOrder


async def tenant(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The tenant's global id, or its databaseId.")],
) -> Tenant | None:
    """The tenant, or None when it does not exist or the caller cannot see it."""
    info.context.require(Permission.READ_TENANTS)
    key = _key_in(id)
    return Tenant.of_optional(await info.context.loaders.tenants.load(key)) if key else None


async def tenant_by_slug(
    info: Info, slug: Annotated[str, strawberry.argument(description="Slug of a tenant that is not DECOMMISSIONED.")]
) -> Tenant | None:
    """The tenant that has the slug now, or None."""
    info.context.require(Permission.READ_TENANTS)
    return Tenant.of_optional(await info.context.transact(queries.tenant_of_slug, slug, by=info.context.actor))


async def tenants(
    info: Info,
    first: First = strawberry.UNSET,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
    filter: Annotated[
        TenantFilter | None,
        strawberry.argument(description="Conditions on the tenants; without it, every tenant that the caller can see."),
    ] = strawberry.UNSET,
    order_by: Annotated[
        TenantOrder | None, strawberry.argument(description="Sort order; without it, the newest tenant comes first.")
    ] = strawberry.UNSET,
) -> TenantConnection:
    """A page of the tenants that the caller can see."""
    context = info.context
    context.require(Permission.READ_TENANTS)
    order = given(order_by) or NEWEST_FIRST
    window = order.cursors.window(given(first), given(after), given(last), given(before))
    conditions = (given(filter) or TenantFilter()).to_domain()
    page = await context.loaders.read_page(
        lambda session: queries.tenants(session, conditions, order.to_domain(), window, by=context.actor),
        _related(context, names_below(info._raw_info)),  # noqa: SLF001  # Strawberry's own view of it takes longer
    )
    return TenantConnection.of(page, order, conditions)


def _related(context: Context, shown: frozenset[str]) -> list[Related]:
    """What the tenants of a page are shown with, if these fields are selected below it."""
    loaders = context.loaders
    related: list[tuple[set[str], Callable[[], Related]]] = [
        ({"currentRun", "availableActions", "cancellationPreview"}, lambda: (loaders.live_runs, _id)),
        ({"abandonedResources"}, lambda: (loaders.abandoned, _id)),
        ({"heldResources"}, lambda: (loaders.held, _id)),
        ({"organization"}, lambda: (loaders.organisations, lambda row: row.organisation_id)),
    ]
    return [loader() for names, loader in related if names & shown]


def _id(row: TenantRow) -> UUID:
    return row.id


def _key_in(text: str) -> UUID | None:
    """The UUID in a tenant's global id, or the plain UUID of a dashboard address; None for any other text."""
    type_name, key = parts_of(text) or ("Tenant", plain_key(text))
    return key if type_name == "Tenant" else None

"""Reading tenants, and anything by its global id."""

import asyncio
from typing import Annotated
from uuid import UUID

import strawberry

from models import Event
from provisioning import queries
from provisioning.events import EventType
from provisioning.history import TIMELINE
from resolvers.permissions import Permission, demand_to_read
from schema.actor import Actor
from schema.arguments import CONDITIONS, GLOBAL_ID, GLOBAL_IDS, SLUG, SORT_ORDER
from schema.audit import AuditEvent
from schema.connections import After, Before, FirstOrUsual, Last, given
from schema.context import Context, Info
from schema.errors import BadUserInput
from schema.node import Node, parts_of
from schema.organization import Organization
from schema.run import ProvisioningRun
from schema.tenant import Tenant
from schema.tenants import NEWEST_FIRST, TenantConnection, TenantFilter, TenantOrder
from schema.timeline import ProvisioningEvent

MOST_NODES = 100

NEEDED = {
    "Tenant": Permission.READ_TENANTS,
    "ProvisioningRun": Permission.READ_TENANTS,
    "ProvisioningEvent": Permission.READ_TENANTS,
    "AuditEvent": Permission.READ_FEED,
}
"""The right that an object's type needs; what is hidden is not there."""


async def node(info: Info, id: Annotated[strawberry.ID, GLOBAL_ID]) -> Node | None:
    """Null when it does not exist or is hidden."""
    parts = parts_of(id)
    if parts is None:
        return None
    type_name, key = parts
    needed = NEEDED.get(type_name)
    if needed is not None and needed.value not in info.context.caller.scopes:
        return None
    return await _load(info.context, type_name, key)


async def nodes(info: Info, ids: Annotated[list[strawberry.ID], GLOBAL_IDS]) -> list[Node | None]:
    """In the order of the ids, null for each that is missing."""
    if len(ids) > MOST_NODES:
        raise BadUserInput(f"At most {MOST_NODES} ids in one call.")
    return await asyncio.gather(*(node(info, one) for one in ids))


async def tenant(info: Info, id: Annotated[strawberry.ID, GLOBAL_ID]) -> Tenant | None:
    """Null when there is none, or the caller may not see it."""
    demand_to_read(info.context.caller, Permission.READ_TENANTS)
    parts = parts_of(id)
    if parts is None or parts[0] != "Tenant":
        return None
    return Tenant.of_optional(await info.context.loaders.tenants.load(parts[1]))


async def tenant_by_slug(info: Info, slug: Annotated[str, SLUG]) -> Tenant | None:
    """Whoever holds the slug now."""
    demand_to_read(info.context.caller, Permission.READ_TENANTS)
    return Tenant.of_optional(await info.context.transact(queries.tenant_of_slug, slug, by=info.context.actor))


async def tenants(
    info: Info,
    first: FirstOrUsual = strawberry.UNSET,
    after: After = strawberry.UNSET,
    last: Last = strawberry.UNSET,
    before: Before = strawberry.UNSET,
    filter: Annotated[TenantFilter | None, CONDITIONS] = strawberry.UNSET,
    order_by: Annotated[TenantOrder | None, SORT_ORDER] = strawberry.UNSET,
) -> TenantConnection:
    """A page of what the caller may see."""
    context = info.context
    demand_to_read(context.caller, Permission.READ_TENANTS)
    order = given(order_by) or NEWEST_FIRST
    window = order.cursors.window(given(first), given(after), given(last), given(before))
    wanted = (given(filter) or TenantFilter()).to_domain()
    page = await context.transact(queries.tenants, wanted, order.to_domain(), window, by=context.actor)
    return TenantConnection.of(page, order, wanted)


async def _load(context: Context, type_name: str, key: UUID) -> Node | None:
    loaders = context.loaders
    match type_name:
        case "Tenant":
            return Tenant.of_optional(await loaders.tenants.load(key))
        case "ProvisioningRun":
            return ProvisioningRun.of_optional(await loaders.runs.load(key))
        case "ProvisioningEvent":
            return _timeline_entry(await loaders.events.load(key))
        case "AuditEvent":
            event = await loaders.events.load(key)
            return AuditEvent.of(event) if event else None
        case "Organization":
            return await _organization(context, key)
        case "Actor":
            actor = await context.transact(queries.actor_of_id, key, by=context.actor)
            return Actor.of_actor(actor) if actor else None
        case _:
            return None


def _timeline_entry(event: Event | None) -> ProvisioningEvent | None:
    shown = event is not None and event.run_id is not None and EventType(event.type) in TIMELINE
    return ProvisioningEvent.of(event) if event is not None and shown else None


async def _organization(context: Context, key: UUID) -> Organization | None:
    if context.actor.organisation_id not in {None, key}:
        return None
    row = await context.loaders.organisations.load(key)
    return Organization.of(row) if row else None

"""The queries for any object by its global id."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import strawberry

from access import members, service_accounts
from access.permissions import Permission
from provisioning import queries
from provisioning.audit_feed import TIMELINE
from provisioning.event_types import EventType
from schema.actor import Actor
from schema.audit import AuditEvent
from schema.context import Context, Info
from schema.errors import BadUserInput
from schema.member import Member
from schema.node import Node, parts_of
from schema.organization import Organization
from schema.run import ProvisioningRun
from schema.service_account import ServiceAccount
from schema.tenant import Tenant
from schema.timeline import ProvisioningEvent

MAX_NODES = 100


async def node(
    info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Global id, as returned in the field id.")]
) -> Node | None:
    """The object, or None when it does not exist or the caller cannot see it."""
    parts = parts_of(id)
    kind = KINDS.get(parts[0]) if parts else None
    if parts is None or kind is None or not kind.shown_to(info.context):
        return None
    return await kind.load(info.context, parts[1])


async def nodes(
    info: Info,
    ids: Annotated[list[strawberry.ID], strawberry.argument(description="Global ids, at most 100 in one call.")],
) -> list[Node | None]:
    """The objects in the order of the ids, with None for each that ``node`` does not find."""
    if len(ids) > MAX_NODES:
        raise BadUserInput(f"Too many ids ({len(ids)}): pass at most {MAX_NODES} in one call.")
    return await asyncio.gather(*(node(info, one) for one in ids))


async def _tenant(context: Context, key: UUID) -> Node | None:
    return Tenant.of_optional(await context.loaders.tenants.load(key))


async def _run(context: Context, key: UUID) -> Node | None:
    return ProvisioningRun.of_optional(await context.loaders.runs.load(key))


async def _timeline_entry(context: Context, key: UUID) -> Node | None:
    event = await context.loaders.events.load(key)
    if event is None or event.run_id is None or EventType(event.type) not in TIMELINE:
        return None
    return ProvisioningEvent.of(event)


async def _audit_entry(context: Context, key: UUID) -> Node | None:
    event = await context.loaders.events.load(key)
    return AuditEvent.of(event) if event else None


async def _member(context: Context, key: UUID) -> Node | None:
    found = await context.transact(members.members_by_id, [key], by=context.actor)
    return Member.of_optional(found.get(key))


async def _service_account(context: Context, key: UUID) -> Node | None:
    found = await context.transact(service_accounts.accounts_by_id, [key], by=context.actor)
    return ServiceAccount.of_optional(found.get(key))


async def _organization(context: Context, key: UUID) -> Node | None:
    if context.actor.organisation_id not in {None, key}:
        return None
    row = await context.loaders.organisations.load(key)
    return Organization.of(row) if row else None


async def _actor(context: Context, key: UUID) -> Node | None:
    # Callers without the right members:manage see names, not e-mail addresses.
    manages = context.caller.manages_members
    actor = await context.transact(queries.actor_of_id, key, by=context.actor, with_email=manages)
    return Actor.of_actor(actor) if actor else None


@dataclass(frozen=True, slots=True)
class Kind:
    """How objects of a type are loaded, and the right that a caller needs to see them; None for no right."""

    load: Callable[[Context, UUID], Awaitable[Node | None]]
    needs: Permission | None = None

    def shown_to(self, context: Context) -> bool:
        """Whether the caller may see objects of this type."""
        return self.needs is None or self.needs.value in context.caller.scopes


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "Tenant": Kind(_tenant, Permission.READ_TENANTS),
        "ProvisioningRun": Kind(_run, Permission.READ_TENANTS),
        "ProvisioningEvent": Kind(_timeline_entry, Permission.READ_TENANTS),
        "AuditEvent": Kind(_audit_entry, Permission.READ_FEED),
        "Member": Kind(_member, Permission.MANAGE_MEMBERS),
        "ServiceAccount": Kind(_service_account, Permission.MANAGE_MEMBERS),
        "Organization": Kind(_organization),
        "Actor": Kind(_actor),
    }
)

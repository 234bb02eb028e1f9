"""What was denied goes on record, where the caller's own organisation can read it."""

from uuid import UUID

from sqlmodel import Session

from models import Tenant
from provisioning.actors import Actor
from provisioning.errors import NotFound, NotPermitted
from provisioning.events import EventType, emit_for_organisation
from schema.context import Info
from schema.node import parts_of


async def put_on_record(info: Info, refusal: NotFound | NotPermitted, global_id: str | None) -> None:
    """Leave ``access.denied`` in the caller's feed. An unknown tenant and a foreign one leave the same."""
    facts = {"action": info.field_name, "reason": str(refusal)}
    await info.context.transact(_emit, info.context.actor, facts, global_id)


def _emit(session: Session, actor: Actor, facts: dict[str, str], global_id: str | None) -> None:
    organisation_id = actor.organisation_id or _owner(session, global_id)
    if organisation_id is not None:
        emit_for_organisation(session, organisation_id, EventType.ACCESS_DENIED, facts, by=actor)


def _owner(session: Session, global_id: str | None) -> UUID | None:
    """Support belongs to no organisation: the feed of the tenant's owner tells what support tried."""
    parts = parts_of(global_id) if global_id else None
    tenant = session.get(Tenant, parts[1]) if parts and parts[0] == "Tenant" else None
    return tenant.organisation_id if tenant else None

"""What was denied goes on record, where the caller's own organisation can read it."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import Session, col, select

from models import Tenant
from provisioning.actors import Actor
from provisioning.errors import NotFound, NotPermitted
from provisioning.events import EventType, emit_for_organisation
from schema.context import Info
from schema.node import parts_of


async def put_on_record(info: Info, refusal: NotFound | NotPermitted, global_ids: Sequence[str] = ()) -> None:
    """Leave ``access.denied`` in the caller's feed. An unknown tenant and a foreign one leave the same.

    ``global_ids`` are what the call named, for callers who have no feed of their own.
    """
    facts = {"action": info.field_name, "reason": str(refusal)}
    await info.context.transact(_emit, info.context.actor, facts, global_ids)


def _emit(session: Session, actor: Actor, facts: dict[str, str], global_ids: Sequence[str]) -> None:
    own = actor.organisation_id
    for organisation_id in [own] if own is not None else _owners(session, global_ids):
        emit_for_organisation(session, organisation_id, EventType.ACCESS_DENIED, facts, by=actor)


def _owners(session: Session, global_ids: Sequence[str]) -> list[UUID]:
    """Support belongs to no organisation: the feeds of the tenants' owners tell what support tried."""
    named = [parts[1] for parts in map(parts_of, global_ids) if parts and parts[0] == "Tenant"]
    owners = select(Tenant.organisation_id).where(col(Tenant.id).in_(named)).distinct()
    return sorted(session.exec(owners))

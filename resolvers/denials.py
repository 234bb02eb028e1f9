"""Denied attempts in the audit feed of the caller's organisation."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import Session, col, select

from models import Tenant
from provisioning import denials
from provisioning.actors import Actor
from provisioning.errors import NotFound, NotPermitted
from schema.context import Info
from schema.node import parts_of


async def record_denial(info: Info, refusal: NotFound | NotPermitted, global_ids: Sequence[str] = ()) -> None:
    """Record the denial in the caller's feed, with the same facts for an unknown tenant and a foreign one.

    Support has no feed: the event goes to the organisations of the tenants in ``global_ids``, the ids in the call.
    """
    await info.context.transact(_record, info.context.actor, info.field_name, str(refusal), global_ids)


def _record(session: Session, actor: Actor, action: str, reason: str, global_ids: Sequence[str]) -> None:
    own = actor.organisation_id
    for organisation_id in [own] if own is not None else _owners(session, global_ids):
        denials.record_denial(session, organisation_id, action, reason, by=actor)


def _owners(session: Session, global_ids: Sequence[str]) -> list[UUID]:
    """The organisations that own the tenants among these global ids."""
    named = [parts[1] for parts in map(parts_of, global_ids) if parts and parts[0] == "Tenant"]
    owners = select(Tenant.organisation_id).where(col(Tenant.id).in_(named)).distinct()
    return sorted(session.exec(owners))

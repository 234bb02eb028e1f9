"""What support looked at goes on record in the organisation it belongs to, in the transaction of the look."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import event, func, select
from sqlmodel import Session, SQLModel, col

from models import Event, Organisation, Tenant
from provisioning.actors import Actor
from provisioning.events import EventType, emit_for_organisation

REPEAT_AFTER = timedelta(hours=1)
"""A page that is drawn again every second is one look, not thousands."""

Accesses = Mapping[UUID, set[UUID]]
"""The tenants that were seen of each organisation; none, when it was the organisation or its feed itself."""


@contextmanager
def recorded_reads(session: Session) -> Iterator[list[object]]:
    """Every row that the session reads within the block; it keeps none of those that nobody holds on to."""
    read: list[object] = []

    def note(_: Session, row: object) -> None:
        read.append(row)

    event.listen(session, "loaded_as_persistent", note)
    try:
        yield read
    finally:
        event.remove(session, "loaded_as_persistent", note)


def accesses_in(read: Iterable[object], by: Actor) -> Accesses:
    """What rows tell of, apart from what the actor wrote."""
    seen: dict[UUID, set[UUID]] = {}
    for row in read:
        if isinstance(row, Event) and row.actor_id == by.id:
            continue
        organisation_id, tenant_id = _place_of(row)
        if organisation_id is not None:
            seen.setdefault(organisation_id, set()).update([tenant_id] if tenant_id else [])
    return seen


def record_access(session: Session, accesses: Accesses, *, by: Actor) -> None:
    """Tell each organisation what of it was seen, unless that was recorded within the hour."""
    if not accesses:
        return
    recorded = _recorded_recently(session, accesses, by)
    for organisation_id, tenants in sorted(accesses.items()):
        unrecorded = tenants - recorded.get(organisation_id, set())
        if unrecorded or organisation_id not in recorded:
            facts: dict[str, Any] = {"tenant_ids": sorted(map(str, unrecorded))}
            emit_for_organisation(session, organisation_id, EventType.SUPPORT_LOOKED, facts, by=by)


def _place_of(row: object) -> tuple[UUID | None, UUID | None]:
    """The organisation and the tenant that a row tells of."""
    match row:
        case Organisation():
            return row.id, None
        case Tenant():
            return row.organisation_id, row.id
        case SQLModel():
            return getattr(row, "organisation_id", None), getattr(row, "tenant_id", None)
        case _:
            return None, None


def _recorded_recently(session: Session, organisations: Iterable[UUID], by: Actor) -> dict[UUID, set[UUID]]:
    """Index: feed_of_an_actor."""
    rows = session.execute(
        select(col(Event.organisation_id), col(Event.data)).where(
            col(Event.organisation_id).in_(list(organisations)),
            col(Event.actor_id) == by.id,
            col(Event.type) == EventType.SUPPORT_LOOKED.value,
            col(Event.created_at) > func.clock_timestamp() - REPEAT_AFTER,
        )
    )
    recorded: dict[UUID, set[UUID]] = {}
    for organisation_id, data in rows:
        recorded.setdefault(organisation_id, set()).update(map(UUID, data["tenant_ids"]))
    return recorded

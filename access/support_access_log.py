"""The support access log: an event in each organisation that support reads, in the transaction of the read."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import event, func, select
from sqlalchemy.orm import ORMExecuteState
from sqlmodel import Session, SQLModel, col

from models import Event, Organisation, Tenant
from provisioning.actors import Actor
from provisioning.event_types import EventType
from provisioning.events import emit_for_organisation

REPEAT_AFTER = timedelta(hours=1)
"""After this time the same access is recorded again. A page that reloads every second makes one event an hour."""

MAX_TENANTS_NAMED = 100
"""Tenants of one organisation that one event can name. An access to more of them, such as a count, names none."""

Accesses = Mapping[UUID, set[UUID]]
"""Ids of organisations, with the ids of their tenants that were read. The set is empty when only the organisation or
its feed was read."""


@dataclass(frozen=True, slots=True)
class DeclaredRead:
    """A row that a statement reads without loading it, for example to count it."""

    organisation_id: UUID
    tenant_id: UUID | None


@contextmanager
def recorded_reads(session: Session) -> Iterator[list[object]]:
    """Collect every row that the session reads within the block: loads, or declares in the option ``reads``.

    A statement that answers about rows without loading them, such as a count, has the execution option ``reads``: a
    select of their organisations' and tenants' ids. The session's own identity map is not enough: it drops rows that
    are no longer referenced.
    """
    read: list[object] = []

    def collect(_: Session, row: object) -> None:
        read.append(row)

    def collect_declared(state: ORMExecuteState) -> None:
        declared = state.execution_options.get("reads")
        if declared is not None:
            read.extend(DeclaredRead(*ids) for ids in session.execute(declared.execution_options(reads=None)))

    event.listen(session, "loaded_as_persistent", collect)
    event.listen(session, "do_orm_execute", collect_declared)
    try:
        yield read
    finally:
        event.remove(session, "loaded_as_persistent", collect)
        event.remove(session, "do_orm_execute", collect_declared)


def accesses_in(read: Iterable[object], by: Actor) -> Accesses:
    """The organisations and tenants that the rows belong to, without events that the actor caused."""
    accesses: defaultdict[UUID, set[UUID]] = defaultdict(set)
    for row in read:
        if isinstance(row, Event) and row.actor_id == by.id:
            continue
        organisation_id, tenant_id = _owner_of(row)
        if organisation_id is not None:
            accesses[organisation_id].update([tenant_id] if tenant_id else [])
    return {
        organisation_id: tenants if len(tenants) <= MAX_TENANTS_NAMED else set()
        for organisation_id, tenants in accesses.items()
    }


def record_access(session: Session, accesses: Accesses, *, by: Actor) -> None:
    """Emit an event in each organisation that was read, unless the access was recorded within the last hour."""
    if not accesses:
        return
    recorded = _recorded_recently(session, accesses, by)
    for organisation_id, tenants in sorted(accesses.items()):
        unrecorded = tenants - recorded.get(organisation_id, set())
        if unrecorded or organisation_id not in recorded:
            facts: dict[str, Any] = {"tenant_ids": sorted(map(str, unrecorded))}
            emit_for_organisation(session, organisation_id, EventType.SUPPORT_LOOKED, facts, by=by)


def _owner_of(row: object) -> tuple[UUID | None, UUID | None]:
    """The ids of the organisation and the tenant that the row belongs to."""
    match row:
        case Organisation():
            return row.id, None
        case Tenant():
            return row.organisation_id, row.id
        case DeclaredRead():
            return row.organisation_id, row.tenant_id
        case SQLModel():
            return getattr(row, "organisation_id", None), getattr(row, "tenant_id", None)
        case _:
            return None, None


def _recorded_recently(session: Session, organisations: Iterable[UUID], by: Actor) -> dict[UUID, set[UUID]]:
    """Accesses that were recorded within the last hour. Index: feed_of_an_actor."""
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

"""Event types with the only functions that write events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import insert, text
from sqlmodel import Session

from models import Event, Run, Tenant
from models.columns import new_id
from provisioning.actors import PLATFORM, Actor
from provisioning.event_types import EventType
from runtime.database import clock, outbox_of
from runtime.hints import Hint

FEED_CHANNEL = "tenantry_feed"
"""Payload: ``<organisation id> <tenant id> event|progress``. It makes subscribers read again, and has no data."""

CANCEL_CHANNEL = "tenantry_cancel"
"""Payload: the id of a run that has to stop its current step."""


CHANGES_OF_TENANTS = frozenset({EventType.CANCEL_REQUESTED, EventType.STUCK, EventType.COMPENSATION_RESUMED})
"""Events of a run that count as a change of its tenant, although no value of the tenant changes: ``updated_at``. The
commands that change a value set it themselves."""

APPEND_EVENTS = text("""
    WITH histories AS (
        SELECT * FROM jsonb_to_recordset(CAST(:histories AS jsonb))
            AS history (tenant_id uuid, changes_tenant boolean, at timestamptz, events jsonb)
    ), placed AS (
        UPDATE tenants SET
            last_sequence = last_sequence + jsonb_array_length(events),
            last_rank = greatest(last_rank, CAST(CAST(pg_current_xact_id() AS text) AS bigint)),
            updated_at = CASE WHEN changes_tenant THEN coalesce(at, clock_timestamp()) ELSE updated_at END
        FROM histories WHERE tenants.id = histories.tenant_id AND tenants.id = ANY(:tenant_ids)
        RETURNING tenants.organisation_id, tenants.id AS tenant_id, last_rank, events,
            last_sequence - jsonb_array_length(events) AS before
    ), told AS (
        INSERT INTO events (
            id, organisation_id, tenant_id, run_id, sequence, rank, type,
            actor_kind, actor_id, actor_name, actor_email, data, request_id, created_at
        )
        SELECT id, organisation_id, tenant_id, run_id, before + number, last_rank, type,
            :actor_kind, :actor_id, :actor_name, :actor_email, data, :request_id, coalesce(at, clock_timestamp())
        FROM placed, jsonb_to_recordset(events)
            AS event (id uuid, number integer, run_id uuid, type text, data jsonb, at timestamptz)
        ORDER BY tenant_id, number
    )
    SELECT organisation_id, tenant_id FROM placed
""")
"""Numbers and inserts the events of these tenants, in one round trip. Returns the tenants of the feeds."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event of a tenant before it is written. ``at`` None means now."""

    type: EventType
    tenant_id: UUID
    data: dict[str, Any]
    run_id: UUID | None = None
    at: datetime | None = None


def emit(
    session: Session,
    tenant: Tenant,
    event_type: EventType,
    data: dict[str, Any],
    *,
    run: Run | None = None,
    by: Actor = PLATFORM,
    at: datetime | None = None,
) -> None:
    """Append an event to a tenant's history. Locks the tenant, so that events are numbered in commit order."""
    emit_all(session, [NewEvent(event_type, tenant.id, data, run.id if run else None, at)], by=by)


def emit_all(session: Session, events: Sequence[NewEvent], *, by: Actor) -> None:
    """Append events to the histories of their tenants, in this order, in one statement.

    Locks the tenants. With several tenants, the caller has locked their runs.
    """
    if session.new:
        session.flush()  # an event has foreign keys to its tenant and its run
    histories: dict[UUID, list[NewEvent]] = {}
    for event in events:
        histories.setdefault(event.tenant_id, []).append(event)
    values = {
        "histories": to_json([_history(tenant_id, of_tenant) for tenant_id, of_tenant in histories.items()]).decode(),
        "tenant_ids": list(histories),  # lets Postgres find the tenants by their primary key
        "actor_kind": by.kind.value,
        "actor_id": by.id,
        "actor_name": by.name,
        "actor_email": by.email,
        "request_id": session.info.get("request_id"),
    }
    with session.no_autoflush:  # other changes are flushed once, before the commit
        changed = session.execute(APPEND_EVENTS, values).all()
    outbox_of(session).extend(feed_hint(organisation_id, tenant_id) for organisation_id, tenant_id in changed)


def _history(tenant_id: UUID, events: Sequence[NewEvent]) -> dict[str, object]:
    """What to append to the history of one tenant. Its ``at`` is the time of the last change of the tenant."""
    changes = [event for event in events if event.type in CHANGES_OF_TENANTS]
    return {
        "tenant_id": tenant_id,
        "changes_tenant": bool(changes),
        "at": changes[-1].at if changes else None,
        "events": [
            {
                "id": new_id(),
                "number": number,
                "run_id": event.run_id,
                "type": event.type,
                "data": event.data,
                "at": event.at,
            }
            for number, event in enumerate(events, start=1)
        ],
    }


def emit_for_organisation(
    session: Session, organisation_id: UUID, event_type: EventType, data: dict[str, Any], *, by: Actor
) -> None:
    """Append an event of the organisation that belongs to no tenant."""
    facts = {
        "id": new_id(),
        "organisation_id": organisation_id,
        "type": event_type.value,
        "actor_kind": by.kind,
        "actor_id": by.id,
        "actor_name": by.name,
        "actor_email": by.email,
        "data": data,
        "request_id": session.info.get("request_id"),
        "created_at": clock(session),
    }
    # ``inline`` reads nothing back: an actor that cannot read the feed, or is limited to some tenants, can insert.
    session.execute(insert(Event).values(**facts).inline())
    outbox_of(session).append(feed_hint(organisation_id, None))


def feed_hint(organisation_id: UUID, tenant_id: UUID | None, kind: Literal["event", "progress"] = "event") -> Hint:
    """The hint that the feed of an organisation, and of the tenant if there is one, has changed."""
    return Hint(FEED_CHANNEL, f"{organisation_id} {tenant_id or '-'} {kind}")


def cancel_hint(run_id: UUID) -> Hint:
    """The hint for the worker that performs a step of this run: it has to stop the step."""
    return Hint(CANCEL_CHANNEL, str(run_id), urgent=True)

"""The audit feed: its closed list of types, and the one way to write it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, cast, func, update
from sqlmodel import Session, col, select

from models import Event, Run, Tenant
from provisioning.actors import PLATFORM, Actor
from runtime.database import clock

FEED_CHANNEL = "tenantry_feed"
"""Payload ``<organisation id> <tenant id> event|progress``: a hint to read again, never data."""

CANCEL_CHANNEL = "tenantry_cancel"
"""Payload: the id of a run whose step in flight should stop."""


class EventType(StrEnum):
    """Past tense, never renamed. The fields of ``data`` are documented in docs/audit-feed.md."""

    TENANT_CREATED = "tenant.created"
    TENANT_UPDATED = "tenant.updated"
    STARTED = "tenant.provisioning.started"
    STEP_STARTED = "tenant.provisioning.step_started"
    STEP_COMPLETED = "tenant.provisioning.step_completed"
    STEP_FAILED = "tenant.provisioning.step_failed"
    STEP_INTERRUPTED = "tenant.provisioning.step_interrupted"
    CANCEL_REQUESTED = "tenant.provisioning.cancel_requested"
    COMPENSATION_STARTED = "tenant.provisioning.compensation_started"
    STEP_COMPENSATED = "tenant.provisioning.step_compensated"
    COMPENSATION_FAILED = "tenant.provisioning.compensation_failed"
    COMPENSATION_RESUMED = "tenant.provisioning.compensation_resumed"
    STUCK = "tenant.provisioning.stuck"
    COMPLETED = "tenant.provisioning.completed"
    FAILED = "tenant.provisioning.failed"
    CANCELLED = "tenant.provisioning.cancelled"
    DRIFT_FOUND = "tenant.provisioning.drift_found"
    ABSENCE_CONFIRMED = "tenant.provisioning.absence_confirmed"
    ABSENCE_UNCONFIRMED = "tenant.provisioning.absence_unconfirmed"
    WELCOME_EMAIL_SENT = "tenant.welcome_email_sent"
    WELCOME_EMAIL_FAILED = "tenant.welcome_email_failed"
    SUSPENDED = "tenant.suspended"
    RESUMED = "tenant.resumed"
    DEPROVISIONING_STARTED = "tenant.deprovisioning.started"
    DEPROVISIONING_STEP_COMPLETED = "tenant.deprovisioning.step_completed"
    DEPROVISIONING_COMPLETED = "tenant.deprovisioning.completed"
    RECREATED = "tenant.recreated"
    ACCESS_DENIED = "access.denied"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event lies in its tenant's history, and in the organisation's feed."""

    sequence: int
    rank: int


@dataclass(frozen=True, slots=True)
class Fact:
    """What is told of a tenant, and when it was so."""

    tenant: Tenant
    run: Run | None
    data: dict[str, Any]
    at: datetime


def emit(
    session: Session,
    tenant: Tenant,
    event_type: EventType,
    data: dict[str, Any],
    *,
    run: Run | None = None,
    by: Actor = PLATFORM,
    at: datetime | None = None,
) -> Event:
    """Append to a tenant's history. Takes the tenant's lock, so that number order is commit order."""
    place = _next_places(session, [tenant.id])[tenant.id]
    event = _event(session, Fact(tenant, run, data, at or clock(session)), place, event_type, by)
    session.add(event)
    return event


def emit_each(session: Session, event_type: EventType, facts: Sequence[Fact], *, by: Actor) -> None:
    """Append to many tenants' histories, in one round trip. The caller has locked them, or gives one."""
    places = _next_places(session, [fact.tenant.id for fact in facts])
    for fact in facts:
        session.add(_event(session, fact, places[fact.tenant.id], event_type, by))


def emit_for_organisation(
    session: Session, organisation_id: UUID, event_type: EventType, data: dict[str, Any], *, by: Actor
) -> Event:
    """Append something that concerns no tenant."""
    event = Event(
        organisation_id=organisation_id,
        type=event_type.value,
        actor_kind=by.kind,
        actor_id=by.id,
        actor_name=by.name,
        actor_email=by.email,
        data=data,
        request_id=session.info.get("request_id"),
        created_at=clock(session),
    )
    session.add(event)
    notify_feed(session, organisation_id, None)
    return event


def notify_feed(session: Session, organisation_id: UUID, tenant_id: UUID | None, kind: str = "event") -> None:
    """Wake whoever watches, once this transaction commits."""
    session.exec(select(func.pg_notify(FEED_CHANNEL, _payload(organisation_id, tenant_id, kind))))


def notify_cancels(session: Session, run_ids: Sequence[UUID]) -> None:
    """Tell the workers that are performing steps of these runs, once this transaction commits."""
    ids = func.unnest(cast([str(run_id) for run_id in run_ids], ARRAY(Text))).column_valued("id")
    session.execute(select(func.pg_notify(CANCEL_CHANNEL, ids)))


def _event(session: Session, fact: Fact, place: Place, event_type: EventType, by: Actor) -> Event:
    return Event(
        organisation_id=fact.tenant.organisation_id,
        tenant_id=fact.tenant.id,
        run_id=fact.run.id if fact.run else None,
        sequence=place.sequence,
        rank=place.rank,
        type=event_type.value,
        actor_kind=by.kind,
        actor_id=by.id,
        actor_name=by.name,
        actor_email=by.email,
        data=fact.data,
        request_id=session.info.get("request_id"),
        created_at=fact.at,
    )


def _next_places(session: Session, tenant_ids: Sequence[UUID]) -> dict[UUID, Place]:
    """Number an event of each of these tenants and wake their watchers, in one round trip."""
    this_transaction = cast(cast(func.pg_current_xact_id(), Text), BigInteger)
    payload = func.concat(col(Tenant.organisation_id), " ", col(Tenant.id), " event")
    rows = session.execute(
        update(Tenant)
        .where(col(Tenant.id).in_(tenant_ids))
        .values(
            last_sequence=col(Tenant.last_sequence) + 1,
            last_rank=func.greatest(col(Tenant.last_rank), this_transaction),
        )
        .returning(
            col(Tenant.id), col(Tenant.last_sequence), col(Tenant.last_rank), func.pg_notify(FEED_CHANNEL, payload)
        )
        .execution_options(synchronize_session=False, autoflush=False)
    )
    return {tenant_id: Place(sequence, rank) for tenant_id, sequence, rank, _ in rows}


def _payload(organisation_id: UUID, tenant_id: UUID | None, kind: str = "event") -> str:
    return f"{organisation_id} {tenant_id or '-'} {kind}"

"""Denied attempts: the first one is an event at once, and those that follow it are counted in one event later."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from models import Denial, Event
from provisioning.actors import Actor
from provisioning.event_types import EventType
from provisioning.events import emit_for_organisation
from runtime.database import clock

SUMMARY_INTERVAL = timedelta(minutes=10)
"""Denials of one caller and action that follow an event within this time are one further event."""

MAX_SUMMARIES = 100
"""Callers and actions that one transaction summarises."""


def record_denial(session: Session, organisation_id: UUID, action: str, reason: str, *, by: Actor) -> None:
    """Emit ``access.denied`` in the organisation's feed, or count the denial if it has an event of this kind already.

    ``action`` has to come from a small set: a caller that could invent actions could fill the feed with them.
    """
    denial = insert(Denial).values(
        organisation_id=organisation_id,
        actor_id=by.id,
        action=action,
        reason=reason,
        repeated=0,
    )
    counted = denial.on_conflict_do_update(
        index_elements=["organisation_id", "actor_id", "action"],
        set_={"repeated": col(Denial.repeated) + 1, "reason": denial.excluded.reason},
    ).returning(col(Denial.repeated))
    if session.scalar(counted) == 0:
        emit_for_organisation(
            session, organisation_id, EventType.ACCESS_DENIED, {"action": action, "reason": reason}, by=by
        )


def summarise_denials(session: Session) -> int:
    """Emit an event for each caller and action with counted denials, and forget the others. Returns how many.

    For the product itself, not for callers. Index: denials_recorded_at_idx.
    """
    due = session.scalars(
        select(Denial)
        .where(col(Denial.recorded_at) < func.clock_timestamp() - SUMMARY_INTERVAL)
        .order_by(col(Denial.recorded_at))
        .limit(MAX_SUMMARIES)
        .with_for_update(skip_locked=True)
    ).all()
    for denial in due:
        _summarise(session, denial)
    return len(due)


def _summarise(session: Session, denial: Denial) -> None:
    by = _actor_of(session, denial) if denial.repeated else None
    if by is None:
        session.delete(denial)
        return
    facts = {"action": denial.action, "reason": denial.reason, "repeated": denial.repeated}
    emit_for_organisation(session, denial.organisation_id, EventType.ACCESS_DENIED, facts, by=by)
    denial.repeated = 0
    denial.recorded_at = clock(session)


def _actor_of(session: Session, denial: Denial) -> Actor | None:
    """The caller, as the event of its first denial names it. Index: feed_of_an_actor."""
    first = session.scalars(
        select(Event)
        .where(
            col(Event.organisation_id) == denial.organisation_id,
            col(Event.actor_id) == denial.actor_id,
            col(Event.type) == EventType.ACCESS_DENIED,
        )
        .order_by(col(Event.rank).desc(), col(Event.position).desc())
        .limit(1)
    ).one_or_none()
    if first is None:
        return None
    return Actor(first.actor_kind, first.actor_id, first.actor_name, first.actor_email, first.organisation_id)

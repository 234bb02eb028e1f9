"""The export of an audit feed: recorded as an event, then read from a database cursor."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import Session, col

from models import Event, Organisation
from provisioning import audit_feed, queries
from provisioning.actors import Actor
from provisioning.anchors import Anchor, require_known
from provisioning.audit_feed import EventFilter
from provisioning.errors import NotFound
from provisioning.event_types import EventType
from provisioning.events import emit_for_organisation
from provisioning.pagination import Key

BATCH_SIZE = 200
"""Events that are fetched and yielded together."""


@dataclass(frozen=True, slots=True)
class Export:
    """An export: the events of an organisation up to the end of its feed at the time of the request."""

    organisation_id: UUID
    slug: str
    event_filter: EventFilter
    until: Key


def begin(
    session: Session,
    event_filter: EventFilter,
    slug: str | None,
    facts: dict[str, Any],
    anchor: Anchor | None,
    *,
    by: Actor,
) -> Export:
    """Record the export as an event in the organisation's feed. The export ends before this event.

    Without a slug the organisation is the actor's own. Raises NotFound if the actor cannot access the organisation,
    UnknownCursor if the database does not have the event at which the export continues.
    """
    require_known(session, [anchor] if anchor else [])
    organisation = _organisation(session, slug, by)
    export = Export(
        organisation.id, organisation.slug, event_filter, audit_feed.feed_start(session, event_filter).after
    )
    emit_for_organisation(session, organisation.id, EventType.FEED_EXPORTED, facts, by=by)
    return export


def batches(
    session: Session, export: Export, after: Key | None, anchor: Anchor | None, *, by: Actor
) -> Iterator[Sequence[Event]]:
    """The events after ``after``, oldest first, from a database cursor: one snapshot, few rows in memory.

    Raises UnknownCursor if the database was restored since ``anchor`` was read.
    """
    require_known(session, [anchor] if anchor else [])
    order = export.event_filter.order(descending=False)
    statement = order.between(audit_feed.matching(export.event_filter, by), after, export.until).where(
        col(Event.organisation_id) == export.organisation_id
    )
    with closing(session.scalars(statement.execution_options(yield_per=BATCH_SIZE))) as found:
        yield from found.partitions()


def _organisation(session: Session, slug: str | None, by: Actor) -> Organisation:
    if slug is None:
        found = session.get(Organisation, by.organisation_id)
    else:
        found = queries.organisation_of_slug(session, slug, by=by)
    if found is None:
        raise NotFound("organisation")
    return found

"""The audit feed as a whole: put on record that somebody takes it, then read from a cursor in the database."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlmodel import Session, col

from models import Event, Organisation
from provisioning import audit_feed, queries
from provisioning.actors import Actor
from provisioning.audit_feed import EventFilter
from provisioning.errors import NotFound
from provisioning.events import EventType, emit_for_organisation
from provisioning.pagination import Key

BATCH_SIZE = 200
"""Events that are fetched and handed on together."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is taken: an organisation's events up to where its feed ended when it was asked for."""

    organisation_id: UUID
    slug: str
    wanted: EventFilter
    until: Key


def begin(session: Session, wanted: EventFilter, slug: str | None, facts: dict[str, Any], *, by: Actor) -> Export:
    """Put the export on record in the organisation's feed; the record itself lies behind the export's end.

    Without a slug it is the actor's own. Raises NotFound for one that does not exist for the actor.
    """
    organisation = _organisation(session, slug, by)
    export = Export(organisation.id, organisation.slug, wanted, audit_feed.feed_start(session, wanted).after)
    emit_for_organisation(session, organisation.id, EventType.FEED_EXPORTED, facts, by=by)
    return export


def batches(session: Session, export: Export, after: Key | None, *, by: Actor) -> Iterator[Sequence[Event]]:
    """Its events behind ``after``, oldest first, from a cursor in the database: one snapshot, a few rows in memory."""
    order = export.wanted.order(descending=False)
    statement = order.between(audit_feed.matching(export.wanted, by), after, export.until).where(
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

"""Queries on events: the timeline of a tenant, the audit feed of an organisation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, Select, cast, func, literal, or_, select, true
from sqlalchemy.orm import aliased
from sqlalchemy.types import Text
from sqlmodel import Session, col

from models import Event, Run, RunStep, StepStatus, Tenant
from provisioning import anchors
from provisioning.actors import Actor
from provisioning.anchors import Anchor
from provisioning.event_types import EventType
from provisioning.pagination import Key, Order, Page, Window, page_of, pages_by_parent
from provisioning.queries import accessible_to, has_prefix, ids_of_tenant, one_of

MAX_EVENTS_PER_READ = 100
"""Events that one read of a subscription returns. After a full page the subscription reads again at once."""

HEARTBEAT_INTERVAL = timedelta(seconds=4)
"""The shortest time between two heartbeats of a step that are delivered to a subscriber.

It is shorter than the default interval of lease renewals (5 s), so each renewal of a step without progress is
delivered. It is longer than the poll intervals of steps (1 s and 2 s), so not every poll is delivered."""

MAX_BIGINT = 2**63 - 1

TIMELINE = frozenset(
    {
        EventType.STARTED,
        EventType.STEP_STARTED,
        EventType.STEP_COMPLETED,
        EventType.STEP_FAILED,
        EventType.STEP_INTERRUPTED,
        EventType.CANCEL_REQUESTED,
        EventType.COMPENSATION_STARTED,
        EventType.STEP_COMPENSATED,
        EventType.COMPENSATION_DELAYED,
        EventType.COMPENSATION_FAILED,
        EventType.COMPENSATION_RESUMED,
        EventType.STUCK,
        EventType.COMPLETED,
        EventType.FAILED,
        EventType.CANCELLED,
        EventType.DEPROVISIONING_STARTED,
        EventType.DEPROVISIONING_STEP_COMPLETED,
        EventType.DEPROVISIONING_COMPLETED,
    }
)
"""Types of events that belong to the timeline of a run, if they name a run."""

OLDEST_FIRST = Order((col(Event.sequence),))
"""The order of one tenant's events. They are numbered while the tenant is locked, so a reader skips none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Conditions on events, joined by AND; None is no condition. A type that ends in ``.*`` matches the prefix."""

    tenant_id: UUID | None = None
    run_id: UUID | None = None
    actor_id: UUID | None = None
    types: Sequence[str] | None = None
    occurred_from: datetime | None = None
    occurred_until: datetime | None = None

    @property
    def of_one_tenant(self) -> bool:
        """Whether all matching events belong to one tenant, so that ``sequence`` orders them without gaps."""
        return self.tenant_id is not None or self.run_id is not None

    def order(self, *, descending: bool) -> Order:
        """By ``sequence`` for one tenant. Otherwise by (``rank``, ``position``), the same order within each tenant."""
        columns = (col(Event.sequence),) if self.of_one_tenant else (col(Event.rank), col(Event.position))
        return Order(columns, descending)

    def key_of(self, event: Event) -> Key:
        """The event's key in this order."""
        return (event.sequence,) if self.of_one_tenant else (event.rank, event.position)


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the step that is being performed, and its last heartbeat."""

    run_id: UUID
    step: str
    status: StepStatus
    percent: int | None
    message: str | None
    heartbeat_at: datetime | None
    read_at: datetime

    def repeats(self, other: "Progress | None") -> bool:
        """Whether this adds nothing to ``other``: the same facts, and no heartbeat that is HEARTBEAT_INTERVAL later."""
        if other is None or self._has_newer_heartbeat_than(other):
            return False
        return replace(self, heartbeat_at=other.heartbeat_at, read_at=other.read_at) == other

    def continues(self, other: "Progress | None") -> bool:
        """Whether both belong to the same step in the same status."""
        return other is not None and (self.run_id, self.step, self.status) == (other.run_id, other.step, other.status)

    def _has_newer_heartbeat_than(self, other: "Progress") -> bool:
        if self.heartbeat_at is None or other.heartbeat_at is None:
            return False
        return self.heartbeat_at - other.heartbeat_at >= HEARTBEAT_INTERVAL


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """One read of a timeline: the entries after the cursor, the progress now, and whether a run is live.

    Subscribers get the progress only if there is no new entry.
    """

    entries: list[Event]
    progress: Progress | None
    live: bool


@dataclass(frozen=True, slots=True)
class FeedPage:
    """One read of the feed. ``held_back``: newer events exist, but an older transaction is still open."""

    entries: list[Event]
    held_back: bool


@dataclass(frozen=True, slots=True)
class FeedStart:
    """The start of a subscription: after ``after``, without events that were visible in ``snapshot``.

    ``anchor`` is an event that the database had when the subscriber was there.
    """

    after: Key
    anchor: Anchor
    snapshot: str | None = None


def timeline_of_runs(session: Session, runs: Sequence[UUID], window: Window) -> dict[UUID, Page[Event]]:
    """The same page of each run's timeline, oldest first. Index: feed_of_a_run. Raises UnknownCursor."""
    anchors.require_known(session, window.anchors)
    inner = select(Event).where(col(Event.type).in_(TIMELINE))
    return pages_by_parent(session, inner, Event, col(Event.run_id), runs, OLDEST_FIRST, window)


def read_timeline(session: Session, tenant_id: UUID, after: Anchor) -> TimelinePage:
    """The entries after ``after``, and the current progress. The caller has checked access. Raises UnknownCursor.

    Progress is read before the entries, so that a subscriber gets every entry that precedes it.
    """
    live_run = select(col(Run.id)).where(col(Run.tenant_id) == tenant_id, col(Run.finished_at).is_(None))
    found = select(after.is_known(), live_run.scalar_subquery())
    known, live = session.execute(found.execution_options(reads=ids_of_tenant(tenant_id))).one()
    anchors.check(known)
    progress = _progress(session, live) if live else None
    entries = session.scalars(
        select(Event)
        .where(
            col(Event.tenant_id) == tenant_id,
            col(Event.sequence) > after.sequence,
            col(Event.run_id).is_not(None),
            col(Event.type).in_(TIMELINE),
        )
        .order_by(col(Event.sequence))
        .limit(MAX_EVENTS_PER_READ)
    ).all()
    return TimelinePage(list(entries), progress, live=live is not None)


def place_before_newest_run(session: Session, tenant_id: UUID) -> Anchor:
    """The place before the first event of the tenant's newest run, or after the last event of a tenant without one."""
    sequence = _sequence_before_newest_run(session, tenant_id)
    return Anchor(None, sequence, tenant_id=tenant_id)


def _sequence_before_newest_run(session: Session, tenant_id: UUID) -> int:
    newest = select(col(Run.id)).where(col(Run.tenant_id) == tenant_id).order_by(col(Run.number).desc()).limit(1)
    first = select(func.min(Event.sequence)).where(col(Event.run_id) == newest.scalar_subquery())
    found = session.scalar(first.execution_options(reads=ids_of_tenant(tenant_id)))
    if found is not None:
        return found - 1
    return _last_sequence_of(session, tenant_id)


def events_by_id(session: Session, ids: Sequence[UUID], *, by: Actor) -> dict[UUID, Event]:
    """The events with these ids that the actor can access."""
    found = session.scalars(select(Event).where(one_of(col(Event.id), ids), visible_events(by)))
    return {event.id: event for event in found}


def feed(session: Session, event_filter: EventFilter, window: Window, *, by: Actor) -> Page[Event]:
    """A page of the feed, newest first. Index: feed_of_an_organisation, or the index of the filter.

    Without a tenant or run it ends before the oldest transaction that may still commit, so that paging by cursors skips
    no event. Raises UnknownCursor.
    """
    anchors.require_known(session, window.anchors)
    statement = matching(event_filter, by)
    if not event_filter.of_one_tenant:
        statement = statement.where(col(Event.rank) < _oldest_open_transaction())
    return page_of(session.scalars(event_filter.order(descending=True).paginate(statement, window)).all(), window)


def feed_start(session: Session, event_filter: EventFilter) -> FeedStart:
    """The start of a subscription to events from now on."""
    snapshot, oldest_open, newest = session.execute(
        select(cast(func.pg_current_snapshot(), Text), _oldest_open_transaction(), anchors.newest_event())
    ).one()
    # A feed without events cannot have lost one.
    anchor = Anchor(newest) if newest else Anchor(None, rank=0)
    if event_filter.of_one_tenant:
        return FeedStart((_last_sequence(session, event_filter),), anchor)
    return FeedStart((oldest_open - 1, MAX_BIGINT), anchor, snapshot)


def feed_since(session: Session, event_filter: EventFilter, start: FeedStart, *, by: Actor) -> FeedPage:
    """The events after ``start``, oldest first, up to the oldest transaction that may still commit.

    Raises UnknownCursor, also when the database was restored while the subscription was open.
    """
    window = Window(MAX_EVENTS_PER_READ, after=start.after)
    order = event_filter.order(descending=False)
    statement = order.paginate(matching(event_filter, by), window)
    if start.snapshot is not None:
        statement = statement.where(_unseen_in(start.snapshot))
    facts = select(start.anchor.is_known().label("known"), _oldest_open_transaction().label("oldest_open")).subquery()
    page = statement.lateral()
    event = aliased(Event, page)
    # One row without an event if the page is empty: one statement reads the page and checks the place.
    rows = session.execute(
        select(facts.c.known, facts.c.oldest_open, event).select_from(facts).join(page, true(), isouter=True)
    ).all()
    anchors.check(rows[0].known)
    found = sorted((row[2] for row in rows if row[2] is not None), key=event_filter.key_of)
    if event_filter.of_one_tenant:
        return FeedPage(found, held_back=False)
    settled = [row for row in found if row.rank < rows[0].oldest_open]
    return FeedPage(settled, held_back=len(settled) < len(found))


def anchor_of(event: Event) -> Anchor:
    """The anchor of a reader that has received this event."""
    return Anchor(event.id, event.sequence, event.rank, event.position, event.tenant_id)


def visible_events(by: Actor) -> ColumnElement[bool]:
    """The condition under which the actor can access an event."""
    return accessible_to(by, col(Event.organisation_id), col(Event.tenant_id))


def _progress(session: Session, run_id: UUID) -> Progress | None:
    """The progress of the step that is being performed or polled. None while the step waits for its next attempt."""
    found = session.execute(
        select(
            col(RunStep.name),
            col(RunStep.status),
            col(RunStep.percent),
            col(RunStep.message),
            col(RunStep.heartbeat_at),
            func.clock_timestamp(),
        )
        .where(
            col(RunStep.run_id) == run_id,
            col(RunStep.status).in_([StepStatus.RUNNING, StepStatus.COMPENSATING]),
            or_(col(RunStep.message).is_not(None), col(RunStep.heartbeat_at).is_not(None)),
        )
        .limit(1)
        .execution_options(reads=None)  # the caller declares its run
    ).one_or_none()
    return Progress(run_id, *found) if found else None


def matching(event_filter: EventFilter, by: Actor) -> Select[Any]:
    """The events that match the filter and that the actor can access, without an order."""
    statement = select(Event).where(visible_events(by))
    if event_filter.tenant_id is not None:
        statement = statement.where(col(Event.tenant_id) == event_filter.tenant_id)
    if event_filter.run_id is not None:
        statement = statement.where(col(Event.run_id) == event_filter.run_id)
    if event_filter.actor_id is not None:
        statement = statement.where(col(Event.actor_id) == event_filter.actor_id)
    if event_filter.types is not None:
        statement = statement.where(or_(*(_of_type(name) for name in event_filter.types), literal(value=False)))
    if event_filter.occurred_from is not None:
        statement = statement.where(col(Event.created_at) >= event_filter.occurred_from)
    if event_filter.occurred_until is not None:
        statement = statement.where(col(Event.created_at) < event_filter.occurred_until)
    return statement


def _of_type(name: str) -> ColumnElement[bool]:
    if not name.endswith(".*"):
        return col(Event.type) == name
    return has_prefix(col(Event.type), name.removesuffix("*"))


def _oldest_open_transaction() -> ColumnElement[int]:
    """The oldest transaction that may still commit. All events with a lower rank are visible."""
    return cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)


def _unseen_in(snapshot: str) -> ColumnElement[bool]:
    transaction = func.xid8(cast(col(Event.transaction_id), Text))
    return ~func.pg_visible_in_snapshot(transaction, func.pg_snapshot(snapshot))


def _last_sequence(session: Session, event_filter: EventFilter) -> int:
    of_run = select(col(Run.tenant_id)).where(col(Run.id) == event_filter.run_id).scalar_subquery()
    tenant_id = event_filter.tenant_id if event_filter.tenant_id is not None else of_run
    return _last_sequence_of(session, tenant_id)


def _last_sequence_of(session: Session, tenant_id: UUID | ScalarSelect[UUID]) -> int:
    last = select(col(Tenant.last_sequence)).where(col(Tenant.id) == tenant_id)
    return session.scalar(last.execution_options(reads=ids_of_tenant(tenant_id))) or 0

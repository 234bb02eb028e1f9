"""Reading what happened: one tenant's timeline, and the audit feed of an organisation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Select, and_, cast, func, literal, or_, select
from sqlalchemy.types import Text
from sqlmodel import Session, col

from models import Event, Run, RunStep, StepStatus, Tenant
from provisioning.actors import Actor
from provisioning.events import EventType
from provisioning.pagination import Key, Order, Page, Window, page_of, pages_by_parent
from provisioning.queries import accessible_to

MAX_EVENTS_PER_READ = 100
"""Events in one look of a follower; it looks again at once when there are as many."""

HEARTBEAT_INTERVAL = timedelta(seconds=4)
"""Less than a renewal takes to come, so that each of a quiet step's is told, and a step that is looked at every second
costs its watchers little."""

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
"""What belongs into the timeline of a run, when it names one."""

OLDEST_FIRST = Order((col(Event.sequence),))
"""One tenant's history: of_one_tenant under the tenant's lock, so a reader skips nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Conditions, all of which must hold; None is no condition. ``types`` may end in ``.*`` for a family."""

    tenant_id: UUID | None = None
    run_id: UUID | None = None
    actor_id: UUID | None = None
    types: Sequence[str] | None = None
    occurred_from: datetime | None = None
    occurred_until: datetime | None = None

    @property
    def of_one_tenant(self) -> bool:
        """Whether all that match are of one tenant, so that their numbers order them without gaps."""
        return self.tenant_id is not None or self.run_id is not None

    def order(self, *, descending: bool) -> Order:
        """By number within one tenant; otherwise by transaction, and by number within each tenant."""
        columns = (col(Event.sequence),) if self.of_one_tenant else (col(Event.rank), col(Event.position))
        return Order(columns, descending)

    def key_of(self, event: Event) -> Key:
        """Where an event lies in this order."""
        return (event.sequence,) if self.of_one_tenant else (event.rank, event.position)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a step says it is, or nothing of the sort; and when whoever is at it last gave a sign of life."""

    run_id: UUID
    step: str
    status: StepStatus
    percent: int | None
    message: str | None
    heartbeat_at: datetime | None
    shown_at: datetime

    def repeats(self, other: "Progress | None") -> bool:
        """Whether both say the same, whenever they said it, and this one is no later sign of life worth telling."""
        if other is None or self._has_newer_heartbeat_than(other):
            return False
        return replace(self, heartbeat_at=other.heartbeat_at, shown_at=other.shown_at) == other

    def continues(self, other: "Progress | None") -> bool:
        """Whether both are of the same step on the same way, done or undone."""
        return other is not None and (self.run_id, self.step, self.status) == (other.run_id, other.step, other.status)

    def _has_newer_heartbeat_than(self, other: "Progress") -> bool:
        if self.heartbeat_at is None or other.heartbeat_at is None:
            return False
        return self.heartbeat_at - other.heartbeat_at >= HEARTBEAT_INTERVAL


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """What a follower of a timeline finds: entries after its cursor; progress, when nothing else is new."""

    entries: list[Event]
    progress: Progress | None
    live: bool


@dataclass(frozen=True, slots=True)
class FeedPage:
    """What a follower of the feed finds. ``held_back``: more is there, and an older transaction is still open."""

    entries: list[Event]
    held_back: bool


@dataclass(frozen=True, slots=True)
class FeedStart:
    """Where "from now on" begins: behind ``after``, without what was already visible in ``snapshot``."""

    after: Key
    snapshot: str | None = None


def timeline_of_runs(session: Session, runs: Sequence[UUID], window: Window) -> dict[UUID, Page[Event]]:
    """The same page of each run's timeline, oldest first. Index: feed_of_a_run."""
    inner = select(Event).where(col(Event.type).in_(TIMELINE))
    return pages_by_parent(session, inner, Event, col(Event.run_id), runs, OLDEST_FIRST, window)


def read_timeline(session: Session, tenant_id: UUID, after: int) -> TimelinePage:
    """What is new to somebody who has seen everything up to ``after``. The caller has been shown the tenant.

    Progress is read before the entries: whoever gets it has seen everything that came before it.
    """
    live = session.scalar(select(col(Run.id)).where(col(Run.tenant_id) == tenant_id, col(Run.finished_at).is_(None)))
    progress = _progress(session, live) if live else None
    entries = session.scalars(
        select(Event)
        .where(
            col(Event.tenant_id) == tenant_id,
            col(Event.sequence) > after,
            col(Event.run_id).is_not(None),
            col(Event.type).in_(TIMELINE),
        )
        .order_by(col(Event.sequence))
        .limit(MAX_EVENTS_PER_READ)
    ).all()
    return TimelinePage(list(entries), progress, live=live is not None)


def sequence_before_newest_run(session: Session, tenant_id: UUID) -> int:
    """The number before the first event of the tenant's newest run; of its last event when it never had a run."""
    newest = select(col(Run.id)).where(col(Run.tenant_id) == tenant_id).order_by(col(Run.number).desc()).limit(1)
    first = session.scalar(select(func.min(Event.sequence)).where(col(Event.run_id) == newest.scalar_subquery()))
    if first is not None:
        return first - 1
    return session.scalar(select(col(Tenant.last_sequence)).where(col(Tenant.id) == tenant_id)) or 0


def events_by_id(session: Session, ids: Sequence[UUID], *, by: Actor) -> dict[UUID, Event]:
    """Those that the actor may see."""
    found = session.scalars(select(Event).where(col(Event.id).in_(ids), visible_events(by)))
    return {event.id: event for event in found}


def feed(session: Session, wanted: EventFilter, window: Window, *, by: Actor) -> Page[Event]:
    """A page of the feed, newest first. Index: feed_of_an_organisation, or the one of the filter.

    Without a tenant or run it ends where a late commit could still come in, so that no follower of cursors misses one.
    """
    statement = matching(wanted, by)
    if not wanted.of_one_tenant:
        statement = statement.where(col(Event.rank) < _horizon())
    return page_of(session.scalars(wanted.order(descending=True).paginate(statement, window)).all(), window)


def feed_start(session: Session, wanted: EventFilter) -> FeedStart:
    """Where somebody begins who wants what happens from now on."""
    if wanted.of_one_tenant:
        return FeedStart((_last_number(session, wanted),))
    snapshot, horizon = session.execute(select(cast(func.pg_current_snapshot(), Text), _horizon())).one()
    return FeedStart((horizon - 1, MAX_BIGINT), snapshot)


def feed_since(session: Session, wanted: EventFilter, start: FeedStart, *, by: Actor) -> FeedPage:
    """What is new in the feed, oldest first, up to where a late commit could still come in."""
    window = Window(MAX_EVENTS_PER_READ, after=start.after)
    statement = wanted.order(descending=False).paginate(matching(wanted, by), window)
    if wanted.of_one_tenant:
        return FeedPage(list(session.scalars(statement)), held_back=False)
    if start.snapshot is not None:
        statement = statement.where(_unseen_in(start.snapshot))
    rows = session.execute(statement.add_columns(_horizon())).all()
    settled = [event for event, horizon in rows if event.rank < horizon]
    return FeedPage(settled, held_back=len(settled) < len(rows))


def visible_events(by: Actor) -> ColumnElement[bool]:
    """The condition under which an event exists for an actor."""
    return accessible_to(by, col(Event.organisation_id), col(Event.tenant_id))


def _progress(session: Session, run_id: UUID) -> Progress | None:
    """Of the step that somebody is at; of none that waits for its next attempt."""
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
    ).one_or_none()
    return Progress(run_id, *found) if found else None


def matching(wanted: EventFilter, by: Actor) -> Select[Any]:
    """Whatever the actor may see and the filter leaves, in no order."""
    statement = select(Event).where(visible_events(by))
    if wanted.tenant_id is not None:
        statement = statement.where(col(Event.tenant_id) == wanted.tenant_id)
    if wanted.run_id is not None:
        statement = statement.where(col(Event.run_id) == wanted.run_id)
    if wanted.actor_id is not None:
        statement = statement.where(col(Event.actor_id) == wanted.actor_id)
    if wanted.types is not None:
        statement = statement.where(or_(*(_of_type(one) for one in wanted.types), literal(value=False)))
    if wanted.occurred_from is not None:
        statement = statement.where(col(Event.created_at) >= wanted.occurred_from)
    if wanted.occurred_until is not None:
        statement = statement.where(col(Event.created_at) < wanted.occurred_until)
    return statement


def _of_type(name: str) -> ColumnElement[bool]:
    if not name.endswith(".*"):
        return col(Event.type) == name
    # Not LIKE: under row-level security that is no condition of an index, because it might tell what it sees.
    family, beyond = name.removesuffix("*"), name.removesuffix(".*") + "/"  # the sign after the dot
    return and_(col(Event.type).bool_op("~>=~")(family), col(Event.type).bool_op("~<~")(beyond))


def _horizon() -> ColumnElement[int]:
    """The oldest transaction that may still commit: whatever is below it is complete."""
    return cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)


def _unseen_in(snapshot: str) -> ColumnElement[bool]:
    transaction = func.xid8(cast(col(Event.transaction_id), Text))
    return ~func.pg_visible_in_snapshot(transaction, func.pg_snapshot(snapshot))


def _last_number(session: Session, wanted: EventFilter) -> int:
    of_run = select(col(Run.tenant_id)).where(col(Run.id) == wanted.run_id).scalar_subquery()
    tenant_id = wanted.tenant_id if wanted.tenant_id is not None else of_run
    return session.scalar(select(col(Tenant.last_sequence)).where(col(Tenant.id) == tenant_id)) or 0

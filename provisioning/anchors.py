"""Anchors: the stored event at the place of a reader. The feed may have lost it, or never have had it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Uuid, and_, cast, func, literal, select, true
from sqlalchemy.types import Text
from sqlmodel import Session, col

from models import Tenant


class UnknownCursor(Exception):
    """The feed has no event at the place of a reader: continuing there would skip events without a sign."""

    def __init__(self) -> None:
        super().__init__(
            "The feed has no event at this cursor: its retention is over, or the database was restored to an earlier "
            "time, or this installation never returned the cursor. Read again without a cursor, and continue after the "
            "newest cursor of the answer, or subscribe from now on."
        )


@dataclass(frozen=True, slots=True)
class Anchor:
    """The event at the place of a reader, with its numbers in the orders of the feed.

    Without an ``event_id``, as in the cursors of earlier releases, only a place beyond the end is noticed: by the
    number of the tenant's last event, or by the next transaction id.
    """

    event_id: UUID | None
    sequence: int | None = None
    rank: int | None = None
    position: int | None = None
    tenant_id: UUID | None = None

    def is_known(self) -> ColumnElement[bool]:
        """The condition under which the database has this event, or for a cursor without an id, this place."""
        if self.event_id is not None:
            return func.has_event(self.event_id, *map(_bigint, (self.rank, self.position, self.sequence)))
        if self.rank is not None:
            return _bigint(self.rank) < _next_transaction()
        last = select(col(Tenant.last_sequence)).where(col(Tenant.id) == self.tenant_id).scalar_subquery()
        return _bigint(self.sequence) <= func.coalesce(last, -1)


def all_known(anchors: Sequence[Anchor]) -> ColumnElement[bool]:
    """The condition under which the database has every anchor."""
    return and_(true(), *(anchor.is_known() for anchor in anchors))


def require_known(session: Session, anchors: Sequence[Anchor]) -> None:
    """Raise UnknownCursor unless the database has every anchor."""
    if anchors:
        check(session.scalar(select(all_known(anchors))))


def check(known: object) -> None:
    """Raise UnknownCursor unless ``known``, the value of ``all_known`` that a statement has read."""
    if not known:
        raise UnknownCursor


def newest_event() -> ColumnElement[UUID]:
    """The id of the newest event of any organisation: the anchor of a reader that starts at the end of the feed."""
    return func.newest_event(type_=Uuid())


def _bigint(number: int | None) -> ColumnElement[int | None]:
    return literal(number, BigInteger())


def _next_transaction() -> ColumnElement[int]:
    return cast(cast(func.pg_snapshot_xmax(func.pg_current_snapshot()), Text), BigInteger)

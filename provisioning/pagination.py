"""Keyset pagination: a page begins after the values of a row, not after a number of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, column, func, literal, true, tuple_
from sqlalchemy.orm import Mapped, aliased
from sqlmodel import Session, SQLModel

from models.columns import UUID_ARRAY
from provisioning.anchors import Anchor

T = TypeVar("T")
Row = TypeVar("Row", bound=SQLModel)
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """The requested page: ``size`` rows from the start of the list, or from its end if ``backward``.

    ``anchors`` are the events at its cursors, in lists of events.
    """

    size: int
    after: Key | None = None
    before: Key | None = None
    backward: bool = False
    anchors: tuple[Anchor, ...] = ()


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of rows, in the order of the list."""

    rows: list[T]
    has_next: bool
    has_previous: bool


@dataclass(frozen=True, slots=True)
class Order:
    """Columns that are unique together, all in one direction. They need an index in this order."""

    columns: tuple[Any, ...]
    descending: bool = False

    def paginate(self, statement: Select[Any], window: Window) -> Select[Any]:
        """Limit the statement to the window and one more row, which shows whether there is a further page."""
        if window.after is not None:
            statement = statement.where(self._beyond(window.after, upwards=not self.descending))
        if window.before is not None:
            statement = statement.where(self._beyond(window.before, upwards=self.descending))
        down = self.descending != window.backward
        ordered = [column.desc() if down else column.asc() for column in self.columns]
        return statement.order_by(*ordered).limit(window.size + 1)

    def between(self, statement: Select[Any], after: Key | None, until: Key) -> Select[Any]:
        """Limit the statement to rows after ``after`` up to and including ``until``. Only for ascending orders."""
        if after is not None:
            statement = statement.where(self._beyond(after, upwards=True))
        return statement.where(~self._beyond(until, upwards=True)).order_by(*self.columns)

    def _beyond(self, key: Key, *, upwards: bool) -> ColumnElement[bool]:
        here = tuple_(*self.columns)
        there = tuple_(*(literal(value, column.type) for column, value in zip(self.columns, key, strict=True)))
        return here > there if upwards else here < there


def page_of(found: Sequence[T], window: Window) -> Page[T]:
    """Make a page of the rows that a statement limited by ``paginate`` returned."""
    more = len(found) > window.size
    rows = list(found[: window.size])
    if window.backward:
        return Page(rows[::-1], has_next=window.before is not None, has_previous=more)
    return Page(rows, has_next=more, has_previous=window.after is not None)


def pages_by_parent(
    session: Session,
    inner: Select[Any],
    model: type[Row],
    parent: Mapped[UUID] | Mapped[UUID | None],
    parents: Sequence[UUID],
    order: Order,
    window: Window,
) -> dict[UUID, Page[Row]]:
    """The same page of the list of each parent, in one statement."""
    # One parameter: a statement with a VALUES list is compiled anew at each call.
    unnested = func.unnest(literal(list(parents), UUID_ARRAY)).table_valued(column("parent", Uuid()), name="requested")
    requested = unnested.render_derived()
    page = order.paginate(inner.where(parent == requested.c.parent), window).lateral()
    row = aliased(model, page)
    found: dict[UUID, list[Row]] = {parent_id: [] for parent_id in parents}
    for parent_id, child in session.execute(Select(requested.c.parent, row).join_from(requested, page, true())):
        found[parent_id].append(child)
    return {parent_id: page_of(_sorted(rows, order, window), window) for parent_id, rows in found.items()}


def _sorted(rows: list[Row], order: Order, window: Window) -> list[Row]:
    """Sort the rows, because a join does not guarantee an order."""
    names = [column.key for column in order.columns]
    return sorted(
        rows,
        key=lambda row: tuple(getattr(row, name) for name in names),
        reverse=order.descending != window.backward,
    )

"""Rows that represent a resource: created once, and refused for ever once they are tombstones."""

from sqlalchemy import ColumnElement, Table, and_, func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, SQLModel, select

from provisioning.ports import Refused


class Inventory:
    """A table of resources. A row with a value in ``gone`` is a tombstone; its columns ``forgotten`` are null."""

    def __init__(self, model: type[SQLModel], *, gone: str, forgotten: tuple[str, ...] = ()) -> None:
        self._table: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel sets it, its types do not say so
        self._gone = gone
        self._forgotten = forgotten

    def hold(self, session: Session, **values: object) -> bool:
        """Insert the row unless it exists, and lock it. False when a constraint prevents it: another run has it.

        Raises Refused when the row is a tombstone. The lock serializes this with a concurrent destruction.
        """
        session.exec(insert(self._table).values(**values).on_conflict_do_nothing())
        row = session.exec(select(self._table.c[self._gone]).where(self._key(values)).with_for_update()).all()
        if row and row[0] is not None:
            raise Refused(f"{values['name']} was destroyed earlier, so it is not created again.")
        return bool(row)

    def bury(self, session: Session, **values: object) -> None:
        """Make the row a tombstone, or insert one: a later creation with this name is refused."""
        gone_at = func.clock_timestamp()
        empty = dict.fromkeys(self._forgotten)
        tombstone = insert(self._table).values(**values, **{self._gone: gone_at})
        kept = {self._gone: func.coalesce(self._table.c[self._gone], gone_at)}
        session.exec(tombstone.on_conflict_do_update(index_elements=self._table.primary_key, set_=kept | empty))

    def holds(self, session: Session, /, **key: object) -> bool:
        """Whether the row exists and is not a tombstone."""
        held = self._table.c[self._gone].is_(None)
        return bool(session.exec(select(self._table.c.name).where(self._key(key), held)).all())

    def _key(self, values: dict[str, object]) -> ColumnElement[bool]:
        return and_(*(column == values[column.name] for column in self._table.primary_key))

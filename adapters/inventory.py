"""Rows that stand for a resource: held once, and refused for ever once they are tombstones."""

from sqlalchemy import ColumnElement, Table, and_, func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, SQLModel, select

from provisioning.ports import Refused


class Inventory:
    """One table of resources. ``gone`` is the column that makes a row a tombstone, ``forgotten`` what it then loses."""

    def __init__(self, model: type[SQLModel], *, gone: str, forgotten: tuple[str, ...] = ()) -> None:
        self._table: Table = model.__table__  # type: ignore[attr-defined]  # SQLModel sets it, its types do not say so
        self._gone = gone
        self._forgotten = forgotten

    def hold(self, session: Session, **values: object) -> bool:
        """Insert the row unless it is there, and lock it. False: a rule of the table gives it to somebody else.

        Raises Refused when it is a tombstone. A destruction that meets us here waits, or we wait for it.
        """
        session.exec(insert(self._table).values(**values).on_conflict_do_nothing())
        row = session.exec(select(self._table.c[self._gone]).where(self._key(values)).with_for_update()).all()
        if row and row[0] is not None:
            raise Refused(f"{values['name']} was destroyed earlier, so it is not created again.")
        return bool(row)

    def bury(self, session: Session, **values: object) -> None:
        """Make the row a tombstone, or insert one: whoever comes later with this name is refused."""
        gone_at = func.clock_timestamp()
        empty = dict.fromkeys(self._forgotten)
        tombstone = insert(self._table).values(**values, **{self._gone: gone_at})
        kept = {self._gone: func.coalesce(self._table.c[self._gone], gone_at)}
        session.exec(tombstone.on_conflict_do_update(index_elements=self._table.primary_key, set_=kept | empty))

    def holds(self, session: Session, /, **key: object) -> bool:
        """Whether the row is there and no tombstone."""
        held = self._table.c[self._gone].is_(None)
        return bool(session.exec(select(self._table.c.name).where(self._key(key), held)).all())

    def _key(self, values: dict[str, object]) -> ColumnElement[bool]:
        return and_(*(column == values[column.name] for column in self._table.primary_key))

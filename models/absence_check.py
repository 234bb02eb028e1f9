"""A look outside after the undo: which adapter's resources were asked for, when, and what was found."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import TEXT_ARRAY, instant, primary_key


class AbsenceCheck(SQLModel, table=True):
    """Proof that nothing is held: ``found`` is empty. It is asked more than once, because effects can come late."""

    __tablename__ = "absence_checks"

    id: UUID = primary_key()
    run_id: UUID = Field(foreign_key="runs.id", index=True)
    asked_at: datetime = instant()
    found: list[str] = Field(sa_type=TEXT_ARRAY)

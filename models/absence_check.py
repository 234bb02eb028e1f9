"""An absence check: which resources of an undone run still existed when the adapters were probed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from models.columns import TEXT_ARRAY, instant, primary_key


class AbsenceCheck(SQLModel, table=True):
    """No resource is left if ``found`` and ``found_abandoned`` are empty. Effects can come late: a run has several.

    ``found_abandoned`` names the resources that an operator abandoned and that still existed. They are not removed.
    """

    __tablename__ = "absence_checks"

    id: UUID = primary_key()
    run_id: UUID = Field(foreign_key="runs.id", index=True)
    asked_at: datetime = instant()
    found: list[str] = Field(sa_type=TEXT_ARRAY)
    found_abandoned: list[str] = Field(
        default_factory=list, sa_type=TEXT_ARRAY, sa_column_kwargs={"server_default": text("'{}'")}
    )

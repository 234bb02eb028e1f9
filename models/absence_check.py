"""An absence check: which resources of an undone run still existed when the adapters were probed."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import TEXT_ARRAY, instant, primary_key


class AbsenceCheck(SQLModel, table=True):
    """An empty ``found`` proves that no resource is left. A run is checked several times: effects can come late."""

    __tablename__ = "absence_checks"

    id: UUID = primary_key()
    run_id: UUID = Field(foreign_key="runs.id", index=True)
    asked_at: datetime = instant()
    found: list[str] = Field(sa_type=TEXT_ARRAY)

"""The row that readiness checks write, to see that the database takes writes."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from models.columns import instant


class ReadinessCheck(SQLModel, table=True):
    """One row for all API processes: when the last readiness check was written."""

    __tablename__ = "readiness_checks"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    written_at: datetime = instant()

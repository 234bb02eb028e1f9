"""Denied attempts of a caller to call one mutation, counted so that a loop of them does not fill the audit feed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from models.columns import INSTANT


class Denial(SQLModel, table=True):
    """The last event ``access.denied`` for this caller and action, and the denials since then, which have none."""

    __tablename__ = "denials"

    organisation_id: UUID = Field(primary_key=True, foreign_key="organisations.id")
    actor_id: UUID = Field(primary_key=True)
    action: str = Field(primary_key=True, max_length=80)
    reason: str = Field(max_length=500)
    repeated: int = 0
    recorded_at: datetime = Field(
        default=None,
        sa_type=INSTANT,
        nullable=False,
        index=True,
        sa_column_kwargs={"server_default": text("clock_timestamp()")},
    )

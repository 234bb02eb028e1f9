"""A reserved host name: the inventory of the traffic adapter."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.columns import instant


class HostName(SQLModel, table=True):
    """Keyed by name and claimant: a released claim stays as a tombstone, and another claimant can take the name."""

    __tablename__ = "host_names"
    __table_args__ = (
        Index("one_holder_per_host_name", "name", unique=True, postgresql_where=text("released_at IS NULL")),
    )

    name: str = Field(primary_key=True, max_length=253)
    claimant: str = Field(primary_key=True, max_length=120)
    tenant_id: UUID = Field(index=True)
    reserved_at: datetime = instant()
    released_at: datetime | None = instant(optional=True)

"""A tenant's workload in the built-in shared runtime: the inventory of the edge deployer."""

from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import instant


class Workload(SQLModel, table=True):
    """After a tear-down the row stays as a tombstone: the name cannot be used again."""

    __tablename__ = "workloads"

    name: str = Field(primary_key=True, max_length=300)
    tenant_id: UUID = Field(index=True)
    host_name: str = Field(max_length=253)
    signing_key: str = Field(max_length=300)
    storage_schema: str = Field(max_length=63)
    deployed_at: datetime = instant()
    torn_down_at: datetime | None = instant(optional=True)

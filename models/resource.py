"""The resource ledger: every external resource that a run took or may have taken, written before it is taken."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.columns import choice, instant, primary_key


class ResourceStatus(StrEnum):
    """The status of a resource in the ledger."""

    INTENDED = "INTENDED"
    HELD = "HELD"
    RELEASED = "RELEASED"
    ABANDONED = "ABANDONED"


class Resource(SQLModel, table=True):
    """One row per resource. ``run_id`` is the run that took it, even if a later run releases it."""

    __tablename__ = "resources"
    __table_args__ = (
        UniqueConstraint("run_id", "kind", "name", name="a_run_takes_a_resource_once"),
        Index(
            "resources_held_by_a_tenant",
            "tenant_id",
            postgresql_where=text("status IN ('INTENDED','HELD')"),
        ),
        CheckConstraint("(status = 'RELEASED') = (released_at IS NOT NULL)", name="released_says_when"),
        CheckConstraint("status <> 'HELD' OR held_at IS NOT NULL", name="held_says_since_when"),
        CheckConstraint("status <> 'ABANDONED' OR abandoned_reason IS NOT NULL", name="abandoned_says_why"),
    )

    id: UUID = primary_key()
    run_id: UUID = Field(foreign_key="runs.id")
    tenant_id: UUID = Field(foreign_key="tenants.id")
    step: str = Field(max_length=64)
    kind: str = Field(max_length=40)
    name: str = Field(max_length=300)
    status: ResourceStatus = Field(sa_type=choice(ResourceStatus, sentence="resource_status_is_known"))
    intended_at: datetime = instant()
    held_at: datetime | None = instant(optional=True)
    released_at: datetime | None = instant(optional=True)
    abandoned_by: str | None = Field(default=None, max_length=254)
    abandoned_reason: str | None = Field(default=None, max_length=500)

"""The resource ledger: every external resource that a run took or may have taken, written before it is taken."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ColumnElement, Index, UniqueConstraint, and_, text
from sqlmodel import Field, SQLModel, col

from models.columns import choice, instant, primary_key
from models.event import ActorKind


class ResourceStatus(StrEnum):
    """The status of a resource in the ledger."""

    INTENDED = "INTENDED"
    HELD = "HELD"
    RELEASED = "RELEASED"
    ABANDONED = "ABANDONED"


class Resource(SQLModel, table=True):
    """One row per resource. ``run_id`` is the run that took it, even if a later run releases it.

    ``absent_at``: an absence check did not find an abandoned resource any more. It is None again when a later check
    finds it.
    """

    __tablename__ = "resources"
    __table_args__ = (
        UniqueConstraint("run_id", "kind", "name", name="a_run_takes_a_resource_once"),
        Index(
            "resources_held_by_a_tenant",
            "tenant_id",
            postgresql_where=text("status IN ('INTENDED','HELD')"),
        ),
        Index(
            "resources_abandoned_by_a_tenant",
            "tenant_id",
            postgresql_where=text("status = 'ABANDONED' AND absent_at IS NULL"),
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
    abandoned_at: datetime | None = instant(optional=True)
    abandoned_by_kind: ActorKind | None = Field(
        default=None, sa_type=choice(ActorKind, sentence="abandoner_kind_is_known"), nullable=True
    )
    abandoned_by_id: UUID | None = None
    abandoned_by: str | None = Field(default=None, max_length=254)
    abandoned_reason: str | None = Field(default=None, max_length=500)
    absent_at: datetime | None = instant(optional=True)

    @property
    def left_behind(self) -> bool:
        """Whether an operator abandoned the resource, and it may still exist."""
        return self.status is ResourceStatus.ABANDONED and self.absent_at is None

    @staticmethod
    def is_left_behind() -> ColumnElement[bool]:
        """The same as ``left_behind``, as an SQL condition."""
        return and_(col(Resource.status) == ResourceStatus.ABANDONED, col(Resource.absent_at).is_(None))

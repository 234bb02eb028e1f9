"""The audit feed: an append-only row for each event, written in the transaction of the change that it describes."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Column, Identity, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.columns import BIGINT, DOCUMENT, choice, instant, primary_key

THIS_TRANSACTION = text("(pg_current_xact_id()::text)::bigint")


class ActorKind(StrEnum):
    """The kind of an actor."""

    USER = "USER"
    INTEGRATION = "INTEGRATION"
    SUPPORT = "SUPPORT"
    SYSTEM = "SYSTEM"


class Event(SQLModel, table=True):
    """One event.

    ``sequence`` orders the events of one tenant without gaps. (``rank``, ``position``) orders the events of an
    organisation; readers stop at ``pg_snapshot_xmin``, so that they never skip a row that commits late. The rank is the
    ``transaction_id``, or the rank of the tenant's previous event if that is higher: for one tenant both orders agree.
    """

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("tenant_id", "sequence", name="events_are_numbered_per_tenant"),
        Index("feed_of_an_organisation", "organisation_id", "rank", "position"),
        Index("feed_of_a_tenant", "tenant_id", "rank", "position"),
        Index("feed_of_a_run", "run_id", "sequence"),
        Index("feed_of_an_actor", "organisation_id", "actor_id", "rank", "position"),
        Index(
            "feed_by_type",
            "organisation_id",
            "type",
            "rank",
            "position",
            postgresql_ops={"type": "text_pattern_ops"},
        ),
        Index("feed_by_time", "organisation_id", "created_at"),
        Index("feed_of_all", "rank", "position"),
        CheckConstraint("(tenant_id IS NULL) = (sequence IS NULL)", name="events_of_a_tenant_are_numbered"),
    )

    id: UUID = primary_key()
    organisation_id: UUID = Field(foreign_key="organisations.id")
    tenant_id: UUID | None = Field(default=None, foreign_key="tenants.id")
    run_id: UUID | None = Field(default=None, foreign_key="runs.id")
    sequence: int | None = Field(default=None, sa_type=BIGINT)
    transaction_id: int = Field(default=None, sa_column=Column(BIGINT, nullable=False, server_default=THIS_TRANSACTION))
    rank: int = Field(default=None, sa_column=Column(BIGINT, nullable=False, server_default=THIS_TRANSACTION))
    position: int = Field(default=None, sa_column=Column(BIGINT, Identity(always=True), nullable=False))
    type: str = Field(max_length=80)
    actor_kind: ActorKind = Field(sa_type=choice(ActorKind, sentence="event_actor_kind_is_known"))
    actor_id: UUID
    actor_name: str = Field(max_length=254)
    actor_email: str | None = Field(default=None, max_length=254)
    data: dict[str, Any] = Field(sa_type=DOCUMENT)
    request_id: str | None = Field(default=None, max_length=64)
    created_at: datetime = instant()

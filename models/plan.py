"""A plan: the limits of an organisation."""

from datetime import timedelta

from sqlmodel import Field, SQLModel

from models.columns import INTERVAL


class Plan(SQLModel, table=True):
    """How many tenants may count at once, how long the feed is stored, and the default provisioning deadline.

    ``tenants_allowed`` None is no limit, ``provisioning_deadline`` None is no deadline. The rows are part of the
    schema: a migration writes them.
    """

    __tablename__ = "plans"

    code: str = Field(primary_key=True, max_length=32)
    title: str = Field(max_length=80)
    tenants_allowed: int | None = None
    feed_retention_days: int
    provisioning_deadline: timedelta | None = Field(default=None, sa_type=INTERVAL)

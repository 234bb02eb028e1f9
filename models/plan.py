"""A plan: the limits of an organisation."""

from datetime import timedelta

from sqlmodel import Field, SQLModel

from models.columns import INTERVAL


class Plan(SQLModel, table=True):
    """The number of tenants that count at once, the days that the feed is stored, the default provisioning deadline.

    None is no limit. The rows are part of the schema: a migration writes them.
    """

    __tablename__ = "plans"

    code: str = Field(primary_key=True, max_length=32)
    title: str = Field(max_length=80)
    tenants_allowed: int | None = None
    feed_retention_days: int
    provisioning_deadline: timedelta | None = Field(default=None, sa_type=INTERVAL)

"""An organisation: the account that owns tenants, members, service accounts and the audit feed."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlmodel import Field, SQLModel

from models.columns import instant, primary_key


class Organisation(SQLModel, table=True):
    """The slug never changes: it is part of every tenant's address."""

    __tablename__ = "organisations"
    __table_args__ = (
        CheckConstraint(
            "slug ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' AND char_length(slug) BETWEEN 2 AND 40",
            name="organisation_slug_is_well_formed",
        ),
    )

    id: UUID = primary_key()
    slug: str = Field(unique=True, max_length=40)
    name: str = Field(max_length=80)
    plan_code: str = Field(foreign_key="plans.code", max_length=32)
    created_at: datetime = instant()

"""The first administrator's pending account in a tenant: part of the identity adapter's inventory."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlmodel import Field, SQLModel

from models.columns import instant


class TenantAccount(SQLModel, table=True):
    """Destroying an account deletes its address. The row stays as a tombstone: the name cannot be used again."""

    __tablename__ = "tenant_accounts"
    __table_args__ = (
        CheckConstraint("(destroyed_at IS NULL) = (email IS NOT NULL)", name="a_destroyed_account_has_no_address"),
    )

    name: str = Field(primary_key=True, max_length=300)
    tenant_id: UUID = Field(index=True)
    email: str | None = Field(default=None, max_length=254)
    created_at: datetime = instant()
    destroyed_at: datetime | None = instant(optional=True)

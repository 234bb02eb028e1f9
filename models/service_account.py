"""A service account: the machine identity of a partner's integration."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.columns import TEXT_ARRAY, UUID_ARRAY, instant, primary_key


class ServiceAccount(SQLModel, table=True):
    """The token is stored only as a SHA-256: a reader of the table cannot authenticate with it.

    After a rotation the previous token may stay valid until ``previous_token_until``.
    """

    __tablename__ = "service_accounts"
    __table_args__ = (Index("service_accounts_by_creation", "organisation_id", "created_at", "id"),)

    id: UUID = primary_key()
    organisation_id: UUID = Field(foreign_key="organisations.id", index=True)
    name: str = Field(max_length=80)
    token_sha256: str | None = Field(default=None, unique=True, max_length=64)
    previous_token_sha256: str | None = Field(default=None, unique=True, max_length=64)
    previous_token_until: datetime | None = instant(optional=True)
    scopes: list[str] = Field(sa_type=TEXT_ARRAY)
    tenant_ids: list[UUID] | None = Field(default=None, sa_type=UUID_ARRAY, nullable=True)
    created_at: datetime = instant()
    expires_at: datetime | None = instant(optional=True)
    last_used_at: datetime | None = instant(optional=True)
    revoked_at: datetime | None = instant(optional=True)
    version: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})

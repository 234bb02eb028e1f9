"""A tenant's signing key: part of the identity adapter's inventory."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint
from sqlmodel import Field, SQLModel

from models.columns import DOCUMENT, instant


class SigningKey(SQLModel, table=True):
    """An ES256 key with its private part encrypted.

    Destroying a key deletes the private part. The row stays as a tombstone: the name cannot be used again.
    """

    __tablename__ = "signing_keys"
    __table_args__ = (
        CheckConstraint(
            "(destroyed_at IS NULL) = (sealed_private_key IS NOT NULL)", name="a_destroyed_key_has_no_private_part"
        ),
    )

    name: str = Field(primary_key=True, max_length=300)
    tenant_id: UUID = Field(index=True)
    kid: str | None = Field(default=None, max_length=64)
    public_jwk: dict[str, Any] | None = Field(default=None, sa_type=DOCUMENT)
    sealed_private_key: bytes | None = None
    created_at: datetime = instant()
    destroyed_at: datetime | None = instant(optional=True)

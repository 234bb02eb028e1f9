"""Idempotency keys with the outcome of their mutation, stored for 24 hours: a repeated request changes nothing."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import DOCUMENT, INSTANT, instant


class IdempotencyKey(SQLModel, table=True):
    """Written in the transaction of the mutation's effect, so that key and effect are committed together."""

    __tablename__ = "idempotency_keys"

    caller_id: UUID = Field(primary_key=True)
    field: str = Field(primary_key=True, max_length=64)
    key: str = Field(primary_key=True, max_length=255)
    input_sha256: str = Field(max_length=64)
    outcome: dict[str, Any] = Field(sa_type=DOCUMENT)
    created_at: datetime = instant()
    expires_at: datetime = Field(sa_type=INSTANT, nullable=False, index=True)

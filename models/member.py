"""A member: a person who works for an organisation, with one role."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.columns import choice, instant, primary_key


class Role(StrEnum):
    """The role of a member, which decides what the member may do."""

    OWNER = "OWNER"
    ADMIN = "ADMIN"
    VIEWER = "VIEWER"


class Member(SQLModel, table=True):
    """One person in one organisation.

    ``subject`` is the issuer of an identity provider, a space, and the provider's subject of the person. The first
    sign-in finds the member by the address and sets ``subject``. Later sign-ins use ``subject`` only.
    """

    __tablename__ = "members"
    __table_args__ = (
        Index("one_owner_per_organisation", "organisation_id", unique=True, postgresql_where=text("role = 'OWNER'")),
        Index("one_member_per_address", "organisation_id", text("lower(email)"), unique=True),
        Index("one_member_per_subject", "subject", "organisation_id", unique=True),
        Index("members_by_address", text("lower(email)")),  # of the release before this one
        Index("members_by_normal_address", text('lower(normalize(email, NFKC) COLLATE "C")')),
        Index("members_by_creation", "organisation_id", "created_at", "id"),
    )

    id: UUID = primary_key()
    organisation_id: UUID = Field(foreign_key="organisations.id")
    email: str = Field(max_length=254)
    name: str = Field(max_length=80)
    role: Role = Field(sa_type=choice(Role, sentence="member_role_is_known"))
    created_at: datetime = instant()
    subject: str | None = Field(default=None, max_length=512)
    invited_at: datetime | None = instant(optional=True)
    joined_at: datetime | None = instant(optional=True)
    version: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})

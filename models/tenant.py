"""A tenant: one isolated environment of an organisation."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field, SQLModel

from models.columns import BIGINT, INTERVAL, choice, instant, primary_key


class TenantState(StrEnum):
    """The lifecycle state of a tenant. Only ``provisioning.lifecycle`` writes it."""

    PENDING = "PENDING"
    PROVISIONING = "PROVISIONING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    FAILED = "FAILED"
    DECOMMISSIONING = "DECOMMISSIONING"
    DECOMMISSIONED = "DECOMMISSIONED"


QUOTA_STATES = (
    TenantState.PROVISIONING,
    TenantState.ACTIVE,
    TenantState.SUSPENDED,
    TenantState.DECOMMISSIONING,
)
"""States of tenants that count against the plan's limit."""

_IN_USE = text("state <> 'DECOMMISSIONED'")


class Tenant(SQLModel, table=True):
    """``address`` is ``<slug>-<organisation slug>``.

    Two different pairs of slugs can make the same address, so the address has its own unique index.
    """

    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint(
            "slug ~ '^[a-z][a-z0-9]*(-[a-z0-9]+)*$' AND char_length(slug) BETWEEN 2 AND 40",
            name="tenant_slug_is_well_formed",
        ),
        CheckConstraint("char_length(name) BETWEEN 1 AND 80", name="tenant_name_is_well_formed"),
        CheckConstraint("char_length(address) <= 63", name="tenant_address_fits_a_dns_label"),
        CheckConstraint("version >= 1 AND last_sequence >= 0", name="tenant_counters_are_positive"),
        Index("one_holder_per_slug", "organisation_id", "slug", unique=True, postgresql_where=_IN_USE),
        Index("one_holder_per_address", "address", unique=True, postgresql_where=_IN_USE),
        Index("tenants_of_an_address_newest_first", "address", "created_at"),
        Index("tenants_by_creation", "organisation_id", "created_at", "id"),
        Index("tenants_by_change", "organisation_id", "updated_at", "id"),
        Index("tenants_by_slug", "organisation_id", "slug", "id"),
        Index("tenants_by_state", "organisation_id", "state"),
        Index("tenants_by_plan", "organisation_id", "plan_code"),
        Index(
            "tenants_by_prefix_of_slug",
            "organisation_id",
            "slug",
            postgresql_ops={"slug": "text_pattern_ops"},
        ),
        Index("tenants_of_all_by_creation", "created_at", "id"),
    )

    id: UUID = primary_key()
    organisation_id: UUID = Field(foreign_key="organisations.id")
    slug: str = Field(max_length=40)
    name: str = Field(max_length=80)
    region: str = Field(max_length=40)
    plan_code: str = Field(foreign_key="plans.code", max_length=32)
    first_admin_email: str = Field(max_length=254)
    address: str = Field(max_length=63)
    state: TenantState = Field(sa_type=choice(TenantState, sentence="tenant_state_is_known"))
    provisioning_deadline: timedelta | None = Field(default=None, sa_type=INTERVAL)
    version: int = 1
    last_sequence: int = Field(default=0, sa_type=BIGINT)
    last_rank: int = Field(default=0, sa_type=BIGINT, sa_column_kwargs={"server_default": text("0")})
    recreated_from_id: UUID | None = Field(default=None, foreign_key="tenants.id", index=True)
    created_at: datetime = instant()
    updated_at: datetime = instant()

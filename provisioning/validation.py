"""What a tenant's values must be like, and what an organisation's plan allows."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import ARRAY, ColumnElement, Function, Text, cast, func, literal
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from models import QUOTA_STATES, Organisation, Plan, Tenant
from models.columns import BIGINT
from provisioning.errors import Malformed, QuotaExceeded

SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
RESERVED_SLUGS = frozenset(
    {"admin", "api", "app", "auth", "console", "dashboard", "docs", "edge", "graphql", "health", "login", "mail"}
    | {"manage", "root", "static", "status", "support", "system", "tenantry", "www"}
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that a terminal obeys; line feed and tab are left out."""

LONGEST_ADDRESS = 63
"""One DNS label (RFC 1035, section 2.3.4)."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Tenants that count now, and how many may."""

    used: int
    allowed: int

    @property
    def exceeded(self) -> bool:
        """Whether more count than may."""
        return self.used > self.allowed

    @property
    def full(self) -> bool:
        """Whether one more would be too many."""
        return self.used >= self.allowed


def check_slug(slug: str) -> str:
    """A slug fit for a host name, or Malformed."""
    if not 2 <= len(slug) <= 40:
        raise Malformed("slug", "A slug has 2 to 40 characters.")
    if not SLUG.fullmatch(slug):
        raise Malformed("slug", "A slug has lower-case letters, digits and single hyphens, and begins with a letter.")
    if slug in RESERVED_SLUGS:
        raise Malformed("slug", f"{slug!r} is reserved for the platform.")
    return slug


def check_name(name: str) -> str:
    """A name to show, trimmed, or Malformed."""
    name = name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise Malformed("name", "A name has 1 to 80 printable characters.")
    return name


def check_email(address: str, field: str = "first_admin_email") -> str:
    """A mail address in its normal form, or Malformed. Nothing is looked up on the network."""
    try:
        return validate_email(address, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise Malformed(field, f"This is not a mail address: {str(error)[:200]}") from None


def check_region(region: str, regions: Sequence[str]) -> str:
    """A region that is on offer, or Malformed."""
    if region not in regions:
        raise Malformed("region", f"There is no region called {region[:40]!r}; there is {', '.join(regions)}.")
    return region


def check_plan(session: Session, code: str) -> str:
    """A plan that exists, or Malformed."""
    codes = session.exec(select(Plan.code).order_by(Plan.code)).all()
    if code not in codes:
        raise Malformed("plan", f"There is no plan called {code[:40]!r}; there is {', '.join(codes)}.")
    return code


def check_reason(reason: str | None) -> str | None:
    """A reason of at most 500 characters, or Malformed."""
    reason = (reason or "").strip().replace("\r\n", "\n") or None
    if reason and len(reason) > 500:
        raise Malformed("reason", "A reason has at most 500 characters.")
    if reason and not (is_storable(reason) and not CONTROL.search(reason)):
        raise Malformed(
            "reason", "A reason has no control characters but line breaks and tabs, and no half of a surrogate pair."
        )
    return reason


def is_storable(text: str) -> bool:
    """Whether Postgres can keep a text: it takes neither NUL nor half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def address_of(slug: str, organisation: Organisation) -> str:
    """The tenant's DNS label, or Malformed when slug and organisation do not fit into one."""
    address = f"{slug}-{organisation.slug}"
    if len(address) > LONGEST_ADDRESS:
        raise Malformed("slug", f"{address!r} is longer than a DNS label, {LONGEST_ADDRESS} characters: shorten it.")
    return address


def limit_of(session: Session, organisation_id: UUID) -> int | None:
    """How many tenants an organisation may have; None when its plan sets no limit."""
    return session.exec(
        select(Plan.tenants_allowed)
        .join(Organisation, col(Organisation.plan_code) == col(Plan.code))
        .where(Organisation.id == organisation_id)
    ).one()


def quota_of(session: Session, organisation_id: UUID) -> Quota | None:
    """How much of its plan an organisation uses; None, and nothing counted, when its plan sets no limit."""
    allowed = limit_of(session, organisation_id)
    if allowed is None:
        return None
    used = session.scalar(select(counted_tenants(literal(organisation_id))))
    return Quota(used or 0, allowed)


def counted_tenants(organisation_id: ColumnElement[UUID] | Mapped[UUID]) -> Function[int]:
    """How many of its tenants count, also those hidden from the caller. Index: tenants_by_state."""
    return func.count_tenants(organisation_id, cast([state.value for state in QUOTA_STATES], ARRAY(Text)), type_=BIGINT)


def require_quota(session: Session, organisation_id: UUID) -> None:
    """Raise QuotaExceeded unless one more tenant fits. The lock keeps two from taking the last place.

    Without a limit nobody waits for anybody.
    """
    if limit_of(session, organisation_id) is None:
        return
    session.exec(
        select(Organisation.id).where(Organisation.id == organisation_id).with_for_update(key_share=True)
    ).one()
    quota = quota_of(session, organisation_id)
    if quota and quota.full:
        raise QuotaExceeded(quota.used, quota.allowed)


def validation_errors(session: Session, tenant: Tenant, regions: Sequence[str]) -> list[str]:
    """Why a tenant's values, or its organisation's plan, no longer allow it to be provisioned: a sentence each."""
    quota = quota_of(session, tenant.organisation_id)
    found = []
    if quota and quota.exceeded:
        found.append(f"The plan allows {quota.allowed} tenants at once and {quota.used} count.")
    checks: list[Callable[[], str]] = [
        lambda: check_slug(tenant.slug),
        lambda: check_plan(session, tenant.plan_code),
        lambda: check_region(tenant.region, regions),
        lambda: check_email(tenant.first_admin_email),
    ]
    for check in checks:
        try:
            check()
        except Malformed as refusal:
            found.append(str(refusal))
    return found

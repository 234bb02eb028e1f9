"""The rules for a tenant's values, including the limit of its organisation's plan."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Function, Text, cast, func
from sqlalchemy.orm import Mapped
from sqlmodel import Session, select

from models import QUOTA_STATES, Organisation, Plan
from models.columns import BIGINT
from provisioning.errors import Malformed, QuotaExceeded
from runtime import email_addresses, shown_text
from runtime.database import Statements

SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
RESERVED_SLUGS = frozenset(
    {"admin", "api", "app", "auth", "console", "dashboard", "docs", "edge", "graphql", "health", "login", "mail"}
    | {"manage", "root", "static", "status", "support", "system", "tenantry", "www"}
)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, which a terminal obeys, except line feed and tab."""

MAX_ADDRESS_LENGTH = 63
"""Characters of one DNS label (RFC 1035, section 2.3.4)."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How many tenants count against the plan, and how many the plan allows."""

    used: int
    allowed: int

    @property
    def exceeded(self) -> bool:
        """Whether more tenants count than the plan allows."""
        return self.used > self.allowed

    @property
    def full(self) -> bool:
        """Whether the plan allows no further tenant."""
        return self.used >= self.allowed


def check_slug(slug: str) -> str:
    """Return the slug if it is valid in a host name. Raises Malformed."""
    if not 2 <= len(slug) <= 40:
        raise Malformed("slug", "A slug must have 2 to 40 characters.")
    if not SLUG.fullmatch(slug):
        raise Malformed(
            "slug", "A slug must consist of lower-case letters, digits and single hyphens, and begin with a letter."
        )
    if slug in RESERVED_SLUGS:
        raise Malformed("slug", f"{slug!r} is reserved for the platform: choose another slug.")
    return slug


def check_name(name: str) -> str:
    """Return the display name in its normal form. Raises Malformed."""
    try:
        return shown_text.normal_name(name)
    except shown_text.InvalidName as refusal:
        raise Malformed("name", str(refusal)) from None


def check_email(address: str, field: str = "first_admin_email") -> str:
    """Return the e-mail address in its normal form. Makes no network request. Raises Malformed."""
    try:
        return email_addresses.normal_form(address)
    except email_addresses.InvalidAddress as refusal:
        raise Malformed(field, str(refusal)) from None


def check_region(region: str, regions: Sequence[str]) -> str:
    """Return the region if it is one of ``regions``. Raises Malformed."""
    if region not in regions:
        raise Malformed("region", f"There is no region {region[:40]!r}: choose one of {', '.join(regions)}.")
    return region


def check_plan(code: str, codes: Sequence[str]) -> str:
    """Return the code of the plan if it is one of ``codes``. Raises Malformed."""
    if code not in codes:
        raise Malformed("plan", f"There is no plan {code[:40]!r}: choose one of {', '.join(codes)}.")
    return code


def check_reason(reason: str | None) -> str | None:
    """Return the reason without surrounding blanks, None for an empty one. Raises Malformed."""
    reason = (reason or "").strip().replace("\r\n", "\n") or None
    if reason and len(reason) > 500:
        raise Malformed("reason", "A reason must have at most 500 characters.")
    if reason and not (is_storable(reason) and not CONTROL.search(reason)):
        raise Malformed(
            "reason",
            "A reason must not contain control characters except line breaks and tabs, or unpaired surrogates.",
        )
    if override := next((character for character in reason or "" if character in shown_text.BIDI_CONTROLS), None):
        raise Malformed("reason", f"A reason must not contain the character {shown_text.described(override)}.")
    return reason


def is_storable(text: str) -> bool:
    """Whether Postgres can store the text: it accepts neither NUL nor unpaired surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def address_of(slug: str, organisation_slug: str) -> str:
    """The tenant's DNS label. Raises Malformed when the slug and the organisation's slug do not fit into one."""
    address = f"{slug}-{organisation_slug}"
    if len(address) > MAX_ADDRESS_LENGTH:
        raise Malformed(
            "slug", f"The address {address!r} has more than {MAX_ADDRESS_LENGTH} characters: choose a shorter slug."
        )
    return address


def plan_codes(session: Session) -> Sequence[str]:
    """The codes of all plans, in their order."""
    return session.exec(select(Plan.code).order_by(Plan.code)).all()


QUOTA = """plans.tenants_allowed,
    CASE WHEN plans.tenants_allowed IS NOT NULL THEN count_tenants(organisations.id, %(quota_states)s) END"""
"""The columns of a quota. Tenants are not counted when the plan sets no limit. Index: tenants_by_state."""

READ_QUOTA = f"""
-- How much of its plan an organisation uses.
-- Locks: none.
SELECT {QUOTA}
FROM organisations JOIN plans ON plans.code = organisations.plan_code
WHERE organisations.id = %(organisation_id)s
"""  # noqa: S608  # made of constants


def quota_of(session: Session, organisation_id: UUID) -> Quota | None:
    """How much of its plan an organisation uses. None, without counting, when the plan sets no limit."""
    values = {"organisation_id": organisation_id, "quota_states": _quota_states()}
    [(allowed, used)] = Statements.of(session).rows(READ_QUOTA, values)
    return _quota(allowed, used)


def _quota(allowed: int | None, used: int | None) -> Quota | None:
    return None if allowed is None else Quota(used or 0, allowed)


def _quota_states() -> list[str]:
    return [state.value for state in QUOTA_STATES]


def counted_tenants(organisation_id: ColumnElement[UUID] | Mapped[UUID]) -> Function[int]:
    """How many of the organisation's tenants count, including those that the caller cannot see.

    Index: tenants_by_state.
    """
    return func.count_tenants(organisation_id, cast(_quota_states(), ARRAY(Text)), type_=BIGINT)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a new run of an organisation's tenant depends on, at the moment ``now`` of the database's clock.

    ``deadlines`` has the provisioning deadline of each plan by its code, in the order of the codes. ``limited``: the
    organisation's own plan limits how many tenants count.
    """

    now: datetime
    organisation_slug: str
    limited: bool
    deadlines: Mapping[str, timedelta | None]


READ_TERMS = """
-- What a new tenant or run depends on. Nothing is counted: whether a limit is reached is only known under its lock.
-- Locks: none.
SELECT clock_timestamp(), organisations.slug, plans.tenants_allowed IS NOT NULL,
    ARRAY(SELECT code FROM plans ORDER BY code), ARRAY(SELECT provisioning_deadline FROM plans ORDER BY code)
FROM organisations JOIN plans ON plans.code = organisations.plan_code
WHERE organisations.id = %(organisation_id)s
"""


def terms_of(session: Session, organisation_id: UUID) -> Terms:
    """What a new tenant or run of the organisation depends on, in one statement."""
    [(now, slug, limited, codes, deadlines)] = Statements.of(session).rows(
        READ_TERMS, {"organisation_id": organisation_id}
    )
    return Terms(now, slug, limited, dict(zip(codes, deadlines, strict=True)))


def require_quota(session: Session, organisation_id: UUID, terms: Terms) -> None:
    """Raise QuotaExceeded unless the plan allows one more tenant.

    Locks the organisation, so that two transactions cannot both take the last place, and counts after it has the
    lock. Sends no statement when the plan sets no limit.
    """
    if not terms.limited:
        return
    session.exec(
        select(Organisation.id).where(Organisation.id == organisation_id).with_for_update(key_share=True)
    ).one()
    quota = quota_of(session, organisation_id)
    if quota and quota.full:
        raise QuotaExceeded(quota.used, quota.allowed)


READ_REQUEST = f"""
-- What the rules for a tenant's values read, at one moment.
-- Locks: none.
SELECT tenants.slug, tenants.plan_code, tenants.region, tenants.first_admin_email,
    ARRAY(SELECT code FROM plans ORDER BY code), {QUOTA}
FROM tenants
JOIN organisations ON organisations.id = tenants.organisation_id
JOIN plans ON plans.code = organisations.plan_code
WHERE tenants.id = %(tenant_id)s
"""  # noqa: S608  # made of constants


def validation_errors(statements: Statements, tenant_id: UUID, regions: Sequence[str]) -> list[str]:
    """Why the tenant cannot be provisioned with its values and its organisation's plan now: one sentence each."""
    values = {"tenant_id": tenant_id, "quota_states": _quota_states()}
    [(slug, plan, region, email, plans, allowed, used)] = statements.rows(READ_REQUEST, values)
    quota = _quota(allowed, used)
    found = []
    if quota and quota.exceeded:
        found.append(f"The plan allows {quota.allowed} tenants and {quota.used} are in use.")
    checks: list[Callable[[], str]] = [
        lambda: check_slug(slug),
        lambda: check_plan(plan, plans),
        lambda: check_region(region, regions),
        lambda: check_email(email),
    ]
    for check in checks:
        try:
            check()
        except Malformed as refusal:
            found.append(str(refusal))
    return found

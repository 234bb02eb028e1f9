"""Commands on the service accounts of an organisation: create, update, rotate the token, revoke."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session, col

from access import api_tokens
from access.members import require_manager, require_version
from models import ServiceAccount, Tenant
from provisioning import validation
from provisioning.actors import Actor
from provisioning.errors import Malformed, NotFound, NotPermitted
from provisioning.event_types import EventType
from provisioning.events import emit_for_organisation
from provisioning.pagination import Order, Page, Window, page_of
from runtime.database import clock

MAX_ACCOUNTS = 200
"""The most service accounts that one organisation may have. Revoked accounts are not counted."""

MAX_TENANTS = 500
"""The most tenants that one account can be limited to."""

MAX_OVERLAP = timedelta(days=7)
"""The longest time that the old token may stay valid after a rotation."""

OLDEST_FIRST = Order((col(ServiceAccount.created_at), col(ServiceAccount.id)))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """The input of createServiceAccount. Without ``tenant_ids`` the account has access to every tenant."""

    name: str
    scopes: Sequence[str]
    tenant_ids: Sequence[UUID] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChanges:
    """The input of updateServiceAccount. None leaves a value unchanged.

    ``all_tenants`` removes the limit to some tenants, ``never_expires`` removes the end.
    """

    name: str | None = None
    scopes: Sequence[str] | None = None
    tenant_ids: Sequence[UUID] | None = None
    all_tenants: bool = False
    expires_at: datetime | None = None
    never_expires: bool = False


@dataclass(frozen=True, slots=True)
class Grantor:
    """The scopes of the caller that manages an account (``held``), and all scopes that exist (``known``)."""

    held: frozenset[str]
    known: frozenset[str]


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An account with its new token, which is returned once and cannot be read later."""

    account: ServiceAccount
    token: str = field(repr=False)


def create(session: Session, wanted: NewAccount, *, by: Actor, grantor: Grantor) -> IssuedToken:
    """Create an account and issue its token. Raises Malformed, NotFound, NotPermitted."""
    organisation_id = require_manager(session, by).organisation_id
    _require_capacity(session, organisation_id)
    account = ServiceAccount(
        organisation_id=organisation_id,
        name=validation.check_name(wanted.name),
        scopes=_checked_scopes(wanted.scopes, grantor),
        tenant_ids=_checked_tenants(session, wanted.tenant_ids, organisation_id),
        expires_at=_checked_expiry(session, wanted.expires_at),
        created_at=clock(session),
    )
    issued = _issue(account)
    session.add(account)
    _emit(session, account, EventType.SERVICE_ACCOUNT_CREATED, _facts(account), by)
    return issued


def update(
    session: Session,
    account_id: UUID,
    wanted: AccountChanges,
    *,
    by: Actor,
    grantor: Grantor,
    expected_version: int | None = None,
) -> ServiceAccount:
    """Change an account. Raises NotFound, Malformed, NotPermitted, VersionConflict."""
    account = _locked(session, account_id, by, expected_version)
    before = _facts(account)
    if wanted.name is not None:
        account.name = validation.check_name(wanted.name)
    if wanted.scopes is not None:
        account.scopes = _checked_scopes(wanted.scopes, grantor, held=account.scopes)
    if wanted.tenant_ids is not None or wanted.all_tenants:
        account.tenant_ids = _checked_tenants(session, wanted.tenant_ids, account.organisation_id)
    if wanted.expires_at is not None or wanted.never_expires:
        account.expires_at = _checked_expiry(session, wanted.expires_at)
    changes = {name: [before[name], value] for name, value in _facts(account).items() if value != before[name]}
    if changes:
        _save(session, account)
        _emit(session, account, EventType.SERVICE_ACCOUNT_UPDATED, {"changes": changes}, by)
    return account


def rotate(
    session: Session, account_id: UUID, overlap: timedelta, *, by: Actor, expected_version: int | None = None
) -> IssuedToken:
    """Issue a new token. The old token stays valid for the overlap, and stops at once when that is zero.

    Raises NotFound, Malformed, NotPermitted, VersionConflict.
    """
    account = _locked(session, account_id, by, expected_version)
    if not timedelta(0) <= overlap <= MAX_OVERLAP:
        raise Malformed("overlap", f"The overlap must be between zero and {MAX_OVERLAP.days} days.")
    until = clock(session) + overlap if overlap else None
    account.previous_token_sha256 = account.token_sha256 if until else None
    account.previous_token_until = until if account.previous_token_sha256 else None
    issued = _issue(account)
    _save(session, account)
    ends = account.previous_token_until.isoformat() if account.previous_token_until else None
    _emit(session, account, EventType.SERVICE_ACCOUNT_ROTATED, {"previous_token_until": ends}, by)
    return issued


def revoke(session: Session, account_id: UUID, *, by: Actor, expected_version: int | None = None) -> ServiceAccount:
    """Revoke an account permanently. Idempotent. Raises NotFound, NotPermitted, VersionConflict."""
    account = _locked(session, account_id, by, expected_version, revoked_too=True)
    if account.revoked_at is None:
        account.revoked_at = clock(session)
        account.token_sha256 = account.previous_token_sha256 = account.previous_token_until = None
        _save(session, account)
        _emit(session, account, EventType.SERVICE_ACCOUNT_REVOKED, {}, by)
    return account


def service_accounts(session: Session, window: Window, *, by: Actor, of: UUID) -> Page[ServiceAccount]:
    """A page of the service accounts, oldest first. Index: service_accounts_by_creation."""
    visible = select(ServiceAccount).where(
        col(ServiceAccount.organisation_id) == of, col(ServiceAccount.organisation_id) == by.organisation_id
    )
    return page_of(session.scalars(OLDEST_FIRST.paginate(visible, window)).all(), window)


def accounts_by_id(session: Session, ids: Sequence[UUID], *, by: Actor) -> dict[UUID, ServiceAccount]:
    """Service accounts with these ids in the actor's own organisation."""
    visible = select(ServiceAccount).where(
        col(ServiceAccount.id).in_(ids), col(ServiceAccount.organisation_id) == by.organisation_id
    )
    return {account.id: account for account in session.scalars(visible)}


def _issue(account: ServiceAccount) -> IssuedToken:
    token = api_tokens.new_token()
    account.token_sha256 = api_tokens.digest_of(token)
    return IssuedToken(account, token)


def _save(session: Session, account: ServiceAccount) -> None:
    account.version += 1
    session.add(account)


def _locked(
    session: Session, account_id: UUID, by: Actor, expected_version: int | None, *, revoked_too: bool = False
) -> ServiceAccount:
    """The account, locked after the manager's own row.

    Raises NotPermitted, NotFound, VersionConflict, and Malformed for a revoked account unless ``revoked_too``.
    """
    organisation_id = require_manager(session, by).organisation_id
    account = session.scalars(
        select(ServiceAccount)
        .where(col(ServiceAccount.id) == account_id, col(ServiceAccount.organisation_id) == organisation_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if account is None:
        raise NotFound("service account")
    require_version("service account", account.version, expected_version)
    if account.revoked_at is not None and not revoked_too:
        raise Malformed(
            "service_account_id", "This service account is revoked and cannot be changed: create a new one."
        )
    return account


def _require_capacity(session: Session, organisation_id: UUID) -> None:
    live = select(col(ServiceAccount.id)).where(
        col(ServiceAccount.organisation_id) == organisation_id, col(ServiceAccount.revoked_at).is_(None)
    )
    if (session.scalar(select(func.count()).select_from(live.subquery())) or 0) >= MAX_ACCOUNTS:
        raise Malformed("name", f"An organisation has at most {MAX_ACCOUNTS} service accounts: revoke one first.")


def _checked_scopes(scopes: Sequence[str], grantor: Grantor, held: Collection[str] = ()) -> list[str]:
    """The scopes, sorted and without duplicates.

    Raises Malformed, and NotPermitted for a scope that neither the grantor nor the account has.
    """
    wanted = set(scopes)
    if not wanted:
        raise Malformed("scopes", "A service account needs at least one scope.")
    if unknown := wanted - grantor.known:
        known = ", ".join(sorted(grantor.known))
        raise Malformed("scopes", f"There is no scope {min(unknown)[:40]!r}: choose from {known}.")
    if beyond := wanted - grantor.held - set(held):
        raise NotPermitted(f"grant the scope {min(beyond)}: you do not have it yourself")
    return sorted(wanted)


def _checked_tenants(session: Session, ids: Sequence[UUID] | None, organisation_id: UUID) -> list[UUID] | None:
    if ids is None:
        return None
    if len(ids) > MAX_TENANTS:
        raise Malformed("tenant_ids", f"A service account can be limited to at most {MAX_TENANTS} tenants.")
    existing = select(col(Tenant.id)).where(col(Tenant.id).in_(ids), col(Tenant.organisation_id) == organisation_id)
    found = set(session.scalars(existing))
    if found != set(ids):
        raise NotFound("tenant")
    return sorted(found)


def _checked_expiry(session: Session, expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= clock(session):
        raise Malformed("expires_at", "The expiry of a service account must be in the future.")
    return expires_at


def _facts(account: ServiceAccount) -> dict[str, Any]:
    return {
        "name": account.name,
        "scopes": list(account.scopes),
        "tenant_ids": [str(tenant_id) for tenant_id in account.tenant_ids] if account.tenant_ids is not None else None,
        "expires_at": account.expires_at.isoformat() if account.expires_at else None,
    }


def _emit(session: Session, account: ServiceAccount, event_type: EventType, facts: dict[str, Any], by: Actor) -> None:
    data = {"service_account_id": str(account.id), "name": account.name, **facts}
    emit_for_organisation(session, account.organisation_id, event_type, data, by=by)

"""Signed tokens issued on the command line, for deployments without an identity provider."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid5

from sqlmodel import Session, col, select

from access.members import has_address
from access.permissions import SCOPES, Identity
from models import ActorKind, Member, Organisation, Role, ServiceAccount
from provisioning.actors import Actor
from runtime.database import Database
from runtime.email_addresses import InvalidAddress
from runtime.programs import OperatorError
from runtime.settings import Settings
from server.auth.tokens import MAX_SUPPORT_TOKEN_LIFETIME, sign_token

SUPPORT_EMAIL = "support@tenantry.example"


class TokenRefused(OperatorError):
    """The token cannot be issued. The message is one sentence for an operator."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The requested token: for a role, for a service account with scopes, or for support."""

    organisation: str | None
    role: str | None
    scopes: Sequence[str]
    support: bool
    email: str | None
    lifetime: timedelta


def issue_token(settings: Settings, request: TokenRequest) -> str:
    """Sign the requested token. Raises TokenRefused."""
    if request.lifetime <= timedelta(0):
        raise TokenRefused("A token must be valid for more than 0 days: give a greater --days.")
    _check_accepted(settings, request)
    if request.support:
        return sign_token(settings, support(request.email or SUPPORT_EMAIL), request.lifetime)
    database = Database(settings, name="tenantry-token")
    try:
        return sign_token(settings, database.transact(_identity, request), request.lifetime)
    finally:
        database.close()


def _check_accepted(settings: Settings, request: TokenRequest) -> None:
    """Refuse a token that the server would not accept. Raises TokenRefused."""
    if settings.accepts_signed_tokens:
        return
    if not request.support:
        raise TokenRefused(
            "This server accepts signed tokens for support only, because TENANTRY_SIGNED_TOKENS is not true: "
            "people sign in, programs use API tokens."
        )
    if request.email is None:
        raise TokenRefused("A support token must name a person, because audit feeds show it: give --email.")
    if request.lifetime > MAX_SUPPORT_TOKEN_LIFETIME:
        hours = MAX_SUPPORT_TOKEN_LIFETIME.seconds // 3600
        raise TokenRefused(
            f"With an identity provider a support token may be valid for at most {hours} hours: give --days 0.5."
        )


def support(email: str) -> Identity:
    """The identity of a member of the platform's staff."""
    return Identity(Actor(ActorKind.SUPPORT, uuid5(UUID(int=0), email), email, email))


def member(session: Session, organisation: Organisation, role: Role, email: str | None = None) -> Identity:
    """The identity of the first member with this role and, if given, this e-mail address. Raises TokenRefused."""
    query = select(Member).where(Member.organisation_id == organisation.id, Member.role == role)
    if email:
        try:
            query = query.where(has_address(email))
        except InvalidAddress as refusal:
            raise TokenRefused(str(refusal)) from None
    found = session.exec(query.order_by(col(Member.created_at), col(Member.id)).limit(1)).first()
    if found is None:
        raise TokenRefused(
            f"{organisation.slug} has no {role.lower()}{f' with the e-mail address {email}' if email else ''}."
        )
    return Identity(Actor(ActorKind.USER, found.id, found.name, found.email, organisation.id), role)


def service_account(session: Session, organisation: Organisation, scopes: Sequence[str] | None = None) -> Identity:
    """The identity of the first service account, with all or some of its scopes. Raises TokenRefused."""
    found = session.exec(
        select(ServiceAccount)
        .where(ServiceAccount.organisation_id == organisation.id)
        .order_by(col(ServiceAccount.created_at), col(ServiceAccount.id))
        .limit(1)
    ).first()
    if found is None:
        raise TokenRefused(f"{organisation.slug} has no service account.")
    if missing := sorted(set(scopes or ()) - set(found.scopes)):
        raise TokenRefused(f"{found.name} of {organisation.slug} does not have the scope {', '.join(missing)}.")
    granted = frozenset(found.scopes if scopes is None else scopes)
    tenant_ids = frozenset(found.tenant_ids) if found.tenant_ids is not None else None
    actor = Actor(ActorKind.INTEGRATION, found.id, found.name, None, organisation.id, tenant_ids)
    return Identity(actor, granted=granted)


def _identity(session: Session, request: TokenRequest) -> Identity:
    if request.organisation is None:
        raise TokenRefused("A token for a person or a service account needs an organisation: give --organisation.")
    organisation = session.exec(select(Organisation).where(Organisation.slug == request.organisation)).one_or_none()
    if organisation is None:
        raise TokenRefused(f"There is no organisation {request.organisation}.")
    if request.role:
        return member(session, organisation, Role(request.role), request.email)
    if unknown := sorted(set(request.scopes) - SCOPES):
        raise TokenRefused(f"There is no scope {', '.join(unknown)}. The scopes are {', '.join(sorted(SCOPES))}.")
    return service_account(session, organisation, request.scopes)

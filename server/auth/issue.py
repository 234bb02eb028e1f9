"""Making tokens from the command line, for people who have no identity provider yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid5

from sqlalchemy import func
from sqlmodel import Session, col, select

from access.permissions import SCOPES, Identity
from models import ActorKind, Member, Organisation, Role, ServiceAccount
from provisioning.actors import Actor
from runtime.database import Database
from runtime.settings import Settings
from server.auth.tokens import LONGEST_SUPPORT, sign_token

SUPPORT_EMAIL = "support@tenantry.example"


class TokenRefused(Exception):
    """There is nobody for whom such a token could be. The message is one sentence for an operator."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which token is asked for: a role's, a service account's with scopes, or support's."""

    organisation: str | None
    role: str | None
    scopes: Sequence[str]
    support: bool
    email: str | None
    life: timedelta


def token_for(settings: Settings, wanted: Wanted) -> str:
    """Make the token. Raises TokenRefused."""
    if wanted.life <= timedelta(0):
        raise TokenRefused("A token is good for more than no days at all.")
    _refuse_what_is_not_taken(settings, wanted)
    if wanted.support:
        return sign_token(settings, support(wanted.email or SUPPORT_EMAIL), wanted.life)
    database = Database(settings, name="tenantry-token")
    try:
        return sign_token(settings, database.transact(_identity, wanted), wanted.life)
    finally:
        database.close()


def _refuse_what_is_not_taken(settings: Settings, wanted: Wanted) -> None:
    if settings.accepts_signed_tokens:
        return
    if not wanted.support:
        raise TokenRefused("People sign in here and programs have API tokens: TENANTRY_SIGNED_TOKENS is not true.")
    if wanted.email is None:
        raise TokenRefused("Support names a person, whom organisations' feeds will show: give --email.")
    if wanted.life > LONGEST_SUPPORT:
        hours = LONGEST_SUPPORT.seconds // 3600
        raise TokenRefused(f"With an issuer a token of support is good for {hours} hours at the most: give --days 0.5.")


def support(email: str) -> Identity:
    """A member of the platform's staff."""
    return Identity(Actor(ActorKind.SUPPORT, uuid5(UUID(int=0), email), email, email))


def member(session: Session, organisation: Organisation, role: Role, email: str | None = None) -> Identity:
    """A person: the member with this role, and this address if one is given. Raises TokenRefused."""
    wanted = select(Member).where(Member.organisation_id == organisation.id, Member.role == role)
    if email:
        wanted = wanted.where(func.lower(Member.email) == email.lower())
    found = session.exec(wanted.order_by(col(Member.created_at), col(Member.id)).limit(1)).first()
    if found is None:
        raise TokenRefused(f"{organisation.slug} has no {role.lower()}{f' called {email}' if email else ''}.")
    return Identity(Actor(ActorKind.USER, found.id, found.name, found.email, organisation.id), role)


def service_account(session: Session, organisation: Organisation, scopes: Sequence[str] | None = None) -> Identity:
    """A partner's integration: the first service account, with all its scopes or some. Raises TokenRefused."""
    found = session.exec(
        select(ServiceAccount)
        .where(ServiceAccount.organisation_id == organisation.id)
        .order_by(col(ServiceAccount.created_at), col(ServiceAccount.id))
        .limit(1)
    ).first()
    if found is None:
        raise TokenRefused(f"{organisation.slug} has no service account.")
    if more := sorted(set(scopes or ()) - set(found.scopes)):
        raise TokenRefused(f"{found.name} of {organisation.slug} does not have the scope {', '.join(more)}.")
    granted = frozenset(found.scopes if scopes is None else scopes)
    limited = frozenset(found.tenant_ids) if found.tenant_ids is not None else None
    return Identity(Actor(ActorKind.INTEGRATION, found.id, found.name, None, organisation.id, limited), granted=granted)


def _identity(session: Session, wanted: Wanted) -> Identity:
    organisation = session.exec(select(Organisation).where(Organisation.slug == wanted.organisation)).one_or_none()
    if organisation is None:
        raise TokenRefused(f"There is no organisation {wanted.organisation or 'without a slug: give --organisation'}.")
    if wanted.role:
        return member(session, organisation, Role(wanted.role), wanted.email)
    if unknown := sorted(set(wanted.scopes) - SCOPES):
        raise TokenRefused(f"There is no scope {', '.join(unknown)}; there is {', '.join(sorted(SCOPES))}.")
    return service_account(session, organisation, wanted.scopes)

"""Tokens for every principal of the seed data."""

from datetime import timedelta

from sqlmodel import Session, col, select

from access import api_tokens
from access.permissions import Identity
from devserver.seed import ORGANISATIONS
from models import Organisation, Role, ServiceAccount
from runtime.settings import Settings
from server.auth.issue import SUPPORT_EMAIL, member, service_account, support
from server.auth.tokens import sign_token

LIFE = timedelta(days=365)
"""The tokens are renewed at each start, and valid for this data directory only."""

Tokens = dict[str, str | dict[str, str]]


def tokens(session: Session, settings: Settings) -> Tokens:
    """Create a token for each organisation and role, and one for support.

    Raises TokenRefused when a member or service account of the seed no longer exists.
    """
    made: Tokens = {"support": _signed(settings, support(SUPPORT_EMAIL))}
    for organisation in session.exec(select(Organisation).where(col(Organisation.slug).in_(ORGANISATIONS))):
        people = {role.value.lower(): member(session, organisation, role) for role in Role}
        signed = {role: _signed(settings, identity) for role, identity in people.items()}
        made[organisation.slug] = signed | {"partner": _issued(session, service_account(session, organisation))}
    return made


def _issued(session: Session, partner: Identity) -> str:
    """Issue an API token. It replaces the token of an earlier start."""
    token = api_tokens.new_token()
    account = session.get_one(ServiceAccount, partner.actor.id)
    account.token_sha256 = api_tokens.digest_of(token)
    session.add(account)
    return token


def _signed(settings: Settings, identity: Identity) -> str:
    return sign_token(settings, identity, LIFE)

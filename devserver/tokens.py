"""A token for everyone whom the seed made, so that a newcomer can be any of them."""

from datetime import timedelta

from sqlmodel import Session, col, select

from devserver.seed import ORGANISATIONS
from models import Organisation, Role
from resolvers.permissions import Identity
from runtime.settings import Settings
from server.auth import sign_token
from server.tokens import SUPPORT_EMAIL, member, service_account, support

LIFE = timedelta(days=365)
"""Made anew with every start, and good on this data directory only."""

Tokens = dict[str, str | dict[str, str]]


def tokens(session: Session, settings: Settings) -> Tokens:
    """Make them: by organisation and role, and one for support. Raises TokenRefused when somebody is gone."""
    made: Tokens = {"support": _signed(settings, support(SUPPORT_EMAIL))}
    for organisation in session.exec(select(Organisation).where(col(Organisation.slug).in_(ORGANISATIONS))):
        people = {role.value.lower(): member(session, organisation, role) for role in Role}
        everyone = people | {"partner": service_account(session, organisation)}
        made[organisation.slug] = {who: _signed(settings, identity) for who, identity in everyone.items()}
    return made


def _signed(settings: Settings, identity: Identity) -> str:
    return sign_token(settings, identity, LIFE)

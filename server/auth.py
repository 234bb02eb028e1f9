"""Who is calling: signed tokens, read the same way over HTTP and over a websocket."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from adapters.sealing import Seal
from models import ActorKind, Role
from provisioning.actors import Actor
from resolvers.permissions import Identity
from runtime.settings import Settings

ALGORITHM = "HS256"
ISSUER = "tenantry"
AUDIENCE = "tenantry-api"
REQUIRED = ["iss", "aud", "exp", "iat", "sub", "kind", "name"]


class Unauthenticated(Exception):
    """The caller did not show who it is. The message is for the caller."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a good token proves, and until when."""

    identity: Identity
    expires_at: datetime

    @property
    def seconds_left(self) -> float:
        """How long it is good for; never less than nothing."""
        return max((self.expires_at - datetime.now(UTC)).total_seconds(), 0.0)


def sign_token(settings: Settings, identity: Identity, life: timedelta) -> str:
    """Make a token that proves this identity for so long."""
    actor, now = identity.actor, datetime.now(UTC)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + life,
        "sub": str(actor.id),
        "kind": actor.kind.value,
        "name": actor.name,
        "email": actor.email,
        "org": str(actor.organisation_id) if actor.organisation_id else None,
        "role": identity.role.value if identity.role else None,
        "scopes": sorted(identity.granted) or None,
        "tenants": sorted(map(str, actor.tenant_ids)) if actor.tenant_ids is not None else None,
    }
    said = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(said, _signing_key(settings), algorithm=ALGORITHM)


def authenticate(settings: Settings, authorization: str | None) -> Pass:
    """Who an ``Authorization`` value proves the caller to be. Raises Unauthenticated."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send a token: Authorization: Bearer <token>.")
    return read_token(settings, token.strip())


def read_token(settings: Settings, token: str) -> Pass:
    """What a token proves. Raises Unauthenticated."""
    try:
        claims = jwt.decode(
            token,
            _signing_key(settings),
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": REQUIRED},
        )
        return Pass(_identity_of(claims), datetime.fromtimestamp(claims["exp"], UTC))
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("The token has expired; get a new one.") from None
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
        raise Unauthenticated("This token is not valid here.") from None


def _identity_of(claims: Mapping[str, Any]) -> Identity:
    kind = ActorKind(claims["kind"])
    organisation_id = UUID(claims["org"]) if "org" in claims else None
    # Without an organisation an actor reaches all of them: that is support's, and nobody else's.
    if (organisation_id is None) != (kind is ActorKind.SUPPORT) or kind is ActorKind.SYSTEM:
        raise ValueError("a token of a kind that we never sign")
    actor = Actor(
        kind=kind,
        id=UUID(claims["sub"]),
        name=str(claims["name"]),
        email=claims.get("email"),
        organisation_id=organisation_id,
        tenant_ids=frozenset(map(UUID, claims["tenants"])) if "tenants" in claims else None,
    )
    return Identity(actor, Role(claims["role"]) if "role" in claims else None, frozenset(claims.get("scopes", ())))


def _signing_key(settings: Settings) -> bytes:
    """Derived, so that whoever learns it can open nothing that is sealed."""
    return Seal(settings.secret_key).derive("tokens 1")

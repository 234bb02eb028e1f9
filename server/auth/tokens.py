"""Tokens that Tenantry signs: they prove a principal until a time; the principal's rights are in the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt

from access.permissions import Identity
from access.principals import AccountById, MemberById, Principal, PrincipalRef, Staff
from adapters.sealing import Seal
from models import ActorKind
from runtime.settings import Settings

ALGORITHM = "HS256"
ISSUER = "tenantry"
AUDIENCE = "tenantry-api"
REQUIRED_CLAIMS = ["iss", "aud", "exp", "iat", "sub", "kind"]

MAX_SUPPORT_TOKEN_LIFETIME = timedelta(hours=12)
"""Where an identity provider is configured; short, because a support token cannot be revoked."""


class Unauthenticated(Exception):
    """The caller could not be authenticated. The message is for the caller."""


@dataclass(frozen=True, slots=True)
class Credential:
    """The principal that a token names, and its expiry. ``scope_limit`` restricts a service account's scopes."""

    ref: PrincipalRef
    expires_at: datetime | None = None
    scope_limit: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class AuthResult:
    """The identity and the rights that a valid token gives now, and their expiry."""

    identity: Identity
    credential: Credential
    expires_at: datetime | None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until it expires, at least 0; None when it does not expire."""
        return max((self.expires_at - datetime.now(UTC)).total_seconds(), 0.0) if self.expires_at else None


def auth_result_of(credential: Credential, principal: Principal) -> AuthResult:
    """Combine the limits of a credential with the rights of its principal."""
    granted = principal.scopes if credential.scope_limit is None else principal.scopes & credential.scope_limit
    expiries = [expiry for expiry in (credential.expires_at, principal.expires_at) if expiry is not None]
    return AuthResult(Identity(principal.actor, principal.role, granted), credential, min(expiries, default=None))


def sign_token(settings: Settings, identity: Identity, lifetime: timedelta) -> str:
    """Sign a token for this identity. A service account's token is limited to the identity's scopes."""
    actor, now = identity.actor, datetime.now(UTC)
    is_support = actor.kind is ActorKind.SUPPORT
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + lifetime,
        "sub": str(actor.id),
        "kind": actor.kind.value,
        "name": actor.name if is_support else None,
        "email": actor.email if is_support else None,
        "org": str(actor.organisation_id) if actor.organisation_id else None,
        "scopes": sorted(identity.granted) if actor.kind is ActorKind.INTEGRATION else None,
    }
    present = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(present, _signing_key(settings), algorithm=ALGORITHM)


def token_in(authorization: str | None) -> str:
    """The token in an ``Authorization`` value. Raises Unauthenticated."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or not token.isascii():
        raise Unauthenticated("Send a token: Authorization: Bearer <token>.")
    return token.strip()


def algorithm_of(token: str) -> str | None:
    """The signature algorithm in a token's unverified header: it only selects the verifier."""
    try:
        return str(jwt.get_unverified_header(token).get("alg"))
    except jwt.InvalidTokenError:
        return None


def read_token(settings: Settings, token: str) -> Credential:
    """Verify a token that Tenantry signed. Raises Unauthenticated."""
    try:
        claims = jwt.decode(
            token,
            _signing_key(settings),
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": REQUIRED_CLAIMS},
        )
        credential = Credential(_ref_in(claims), datetime.fromtimestamp(claims["exp"], UTC), _scope_limit_in(claims))
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("The token has expired; get a new one.") from None
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
        raise Unauthenticated("This server does not accept the token.") from None
    _check_accepted(settings, credential, lifetime=timedelta(seconds=claims["exp"] - claims["iat"]))
    return credential


def _check_accepted(settings: Settings, credential: Credential, lifetime: timedelta) -> None:
    """Accept only short-lived support tokens where people sign in. Raises Unauthenticated."""
    if settings.accepts_signed_tokens:
        return
    if not isinstance(credential.ref, Staff):
        raise Unauthenticated("This server does not accept signed tokens: sign in, or use an API token.")
    if lifetime > MAX_SUPPORT_TOKEN_LIFETIME:
        hours = MAX_SUPPORT_TOKEN_LIFETIME.seconds // 3600
        raise Unauthenticated(f"A support token may be valid for at most {hours} hours: create a shorter one.")


def _ref_in(claims: Mapping[str, Any]) -> PrincipalRef:
    key = UUID(claims["sub"])
    match ActorKind(claims["kind"]):
        case ActorKind.USER:
            return MemberById(key, UUID(claims["org"]))
        case ActorKind.INTEGRATION:
            return AccountById(key, UUID(claims["org"]))
        # Only support may be without an organisation: such an actor can read all of them.
        case ActorKind.SUPPORT if "org" not in claims:
            return Staff(key, str(claims["name"]), str(claims["email"]))
        case _:
            raise ValueError("Tenantry signs no tokens of this kind")


def _scope_limit_in(claims: Mapping[str, Any]) -> frozenset[str] | None:
    return frozenset(claims["scopes"]) if "scopes" in claims else None


def _signing_key(settings: Settings) -> bytes:
    """A derived key: it cannot decrypt what the secret key encrypts."""
    return Seal(settings.secret_key).derive("tokens 1")

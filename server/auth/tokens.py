"""What a token of our own proves: who it is and until when. What they may do stands in the tables, not in the token."""

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
REQUIRED = ["iss", "aud", "exp", "iat", "sub", "kind"]

LONGEST_SUPPORT = timedelta(hours=12)
"""That a token of support is good for where people sign in: nobody can revoke one."""


class Unauthenticated(Exception):
    """The caller did not show who it is. The message is for the caller."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Whom a token names, and until when. ``narrowed_to`` leaves a service account some of its scopes."""

    whose: PrincipalRef
    expires_at: datetime | None = None
    narrowed_to: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class AuthResult:
    """What a good token is worth now, and until when."""

    identity: Identity
    claim: Claim
    expires_at: datetime | None

    @property
    def seconds_left(self) -> float | None:
        """How long it is good for, never less than nothing; None is without an end."""
        return max((self.expires_at - datetime.now(UTC)).total_seconds(), 0.0) if self.expires_at else None


def auth_result_of(claim: Claim, principal: Principal) -> AuthResult:
    """What a claim is worth for somebody of this standing."""
    granted = principal.scopes if claim.narrowed_to is None else principal.scopes & claim.narrowed_to
    ends = [end for end in (claim.expires_at, principal.expires_at) if end is not None]
    return AuthResult(Identity(principal.actor, principal.role, granted), claim, min(ends, default=None))


def sign_token(settings: Settings, identity: Identity, life: timedelta) -> str:
    """Make a token that proves who this is for so long; a service account's may narrow its scopes."""
    actor, now = identity.actor, datetime.now(UTC)
    of_support = actor.kind is ActorKind.SUPPORT
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + life,
        "sub": str(actor.id),
        "kind": actor.kind.value,
        "name": actor.name if of_support else None,
        "email": actor.email if of_support else None,
        "org": str(actor.organisation_id) if actor.organisation_id else None,
        "scopes": sorted(identity.granted) if actor.kind is ActorKind.INTEGRATION else None,
    }
    said = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(said, _signing_key(settings), algorithm=ALGORITHM)


def token_in(authorization: str | None) -> str:
    """The token in an ``Authorization`` value. Raises Unauthenticated."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or not token.isascii():
        raise Unauthenticated("Send a token: Authorization: Bearer <token>.")
    return token.strip()


def algorithm_of(token: str) -> str | None:
    """Which signature a token says it has: it chooses who looks at it, and proves nothing."""
    try:
        return str(jwt.get_unverified_header(token).get("alg"))
    except jwt.InvalidTokenError:
        return None


def read_token(settings: Settings, token: str) -> Claim:
    """What a token that we signed claims. Raises Unauthenticated."""
    try:
        claims = jwt.decode(
            token,
            _signing_key(settings),
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            options={"require": REQUIRED},
        )
        claim = Claim(_whose(claims), datetime.fromtimestamp(claims["exp"], UTC), _narrowed(claims))
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("The token has expired; get a new one.") from None
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError, OverflowError):
        raise Unauthenticated("This token is not valid here.") from None
    _refuse_where_people_sign_in(settings, claim, life=timedelta(seconds=claims["exp"] - claims["iat"]))
    return claim


def _refuse_where_people_sign_in(settings: Settings, claim: Claim, life: timedelta) -> None:
    if settings.accepts_signed_tokens:
        return
    if not isinstance(claim.whose, Staff):
        raise Unauthenticated("Tokens of this kind are not taken here: sign in, or use an API token.")
    if life > LONGEST_SUPPORT:
        raise Unauthenticated(f"A token of support is good for {LONGEST_SUPPORT.seconds // 3600} hours at the most.")


def _whose(claims: Mapping[str, Any]) -> PrincipalRef:
    key = UUID(claims["sub"])
    match ActorKind(claims["kind"]):
        case ActorKind.USER:
            return MemberById(key, UUID(claims["org"]))
        case ActorKind.INTEGRATION:
            return AccountById(key, UUID(claims["org"]))
        # Without an organisation an actor reaches all of them: that is support's, and nobody else's.
        case ActorKind.SUPPORT if "org" not in claims:
            return Staff(key, str(claims["name"]), str(claims["email"]))
        case _:
            raise ValueError("a token of a kind that we never sign")


def _narrowed(claims: Mapping[str, Any]) -> frozenset[str] | None:
    return frozenset(claims["scopes"]) if "scopes" in claims else None


def _signing_key(settings: Settings) -> bytes:
    """Derived, so that whoever learns it can open nothing that is sealed."""
    return Seal(settings.secret_key).derive("tokens 1")

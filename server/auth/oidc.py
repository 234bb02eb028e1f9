"""The OpenID Connect provider: where people sign in, and whom it vouches for, by what it publishes and changes."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeGuard

import httpx
import jwt
from jwt import PyJWK, PyJWKSet

from access.sign_in import VerifiedIdentity
from runtime.settings import Settings, is_secure_url
from server.auth.tokens import Unauthenticated

logger = logging.getLogger(__name__)

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures with a key pair. Never ``none``, and never HS…: a public key is no secret."""

TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What a token may say that it is. A logout token, say, proves no caller (OpenID Connect Back-Channel Logout, 2.4)."""

REQUIRED = ["iss", "aud", "exp", "iat", "sub"]
LEEWAY = 10
"""Seconds that two clocks may be apart."""

KEYS_KEPT = 300.0
"""Seconds for which keys are not asked for again: a withdrawn key is refused after this at the latest."""

KEYS_SURVIVE = 3600.0
"""Seconds for which they stay good while the provider cannot be reached."""

ASK_AGAIN_AFTER = 10.0
"""Seconds between two looks for a key that nobody knows: forged names of keys must not make us hammer the provider."""

WITHIN = 3.0
"""Seconds for asking, in all."""

PLAIN = {"Accept": "application/json", "Accept-Encoding": "identity"}
LARGEST_ANSWER = 256 * 1024
LONGEST_TEXT = 255
"""Characters of a subject (OpenID Connect Core, section 2), or of an address."""

UNREADABLE = (
    *(httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError),
    *(KeyError, TypeError, ValueError, RecursionError, TimeoutError),
)
"""What reading an answer may raise that is none, or makes no sense."""


class ProviderUnavailable(Exception):
    """What the provider publishes cannot be had, so nobody knows whom it vouches for, or where one signs in."""


@dataclass(frozen=True, slots=True)
class IdTokenIdentity:
    """Whom the provider vouches for, and until when."""

    subject: str
    email: str | None
    expires_at: datetime

    def identity_at(self, organisation: str | None) -> VerifiedIdentity:
        """The same, at an organisation's door."""
        return VerifiedIdentity(self.subject, self.email, organisation)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a browser takes a person to sign in, and where it then gets the token."""

    authorization: str
    token: str


@dataclass(frozen=True, slots=True)
class Published:
    """What the provider published, and when it was asked. Without endpoints where nobody signs in by a browser."""

    keys: Mapping[str | None, PyJWK] = field(default_factory=dict)
    endpoints: Endpoints | None = None
    asked_at: float = float("-inf")

    @property
    def age(self) -> float:
        """Seconds."""
        return time.monotonic() - self.asked_at


class OidcProvider:
    """One issuer whose tokens are taken."""

    def __init__(self, settings: Settings) -> None:
        self.issuer = settings.oidc_issuer
        self._audience = settings.oidc_audience
        self._http = httpx.AsyncClient(timeout=WITHIN, follow_redirects=False)
        self._known = Published()
        self._tried_at = float("-inf")
        self._asking = asyncio.Lock()

    async def identity_in(self, token: str) -> IdTokenIdentity:
        """Whom a token is about. Raises Unauthenticated, ProviderUnavailable."""
        try:
            key = await self._key_of(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": REQUIRED, "enforce_minimum_key_length": True},
            )
            return self._vouched(claims)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired; get a new one.") from None
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError):
            raise Unauthenticated("This token is not valid here.") from None

    async def endpoints(self) -> Endpoints:
        """Where people sign in. Raises ProviderUnavailable, also when the provider publishes none or unsafe ones."""
        found = (await self._fresh()).endpoints
        if found is None:
            raise ProviderUnavailable
        return found

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    def _vouched(self, claims: Mapping[str, Any]) -> IdTokenIdentity:
        subject, email = claims["sub"], claims.get("email")
        if not _is_plain(subject):
            raise ValueError("not a subject")
        # An address that anybody could have typed in must open no door.
        verified = email if _is_plain(email) and claims.get("email_verified") is True else None
        return IdTokenIdentity(
            f"{self.issuer} {subject}", verified, datetime.fromtimestamp(claims["exp"] + LEEWAY, UTC)
        )

    async def _key_of(self, header: Mapping[str, Any]) -> PyJWK:
        """The key that a token names. Raises KeyError for none of the provider's, ValueError for no such token."""
        if header.get("alg") not in ALGORITHMS or str(header.get("typ", "JWT")).lower() not in TYPES:
            raise ValueError("not a token that we take")
        name = header.get("kid")
        keys = (await self._fresh()).keys
        if name not in keys:
            keys = (await self._asked_again(self._known)).keys
        key = keys[name]
        if key.algorithm_name != header["alg"]:
            raise ValueError("not the algorithm of this key")
        return key

    async def _fresh(self) -> Published:
        known = self._known
        good_meanwhile = known.age < KEYS_SURVIVE and self._asking.locked()
        return known if known.age < KEYS_KEPT or good_meanwhile else await self._asked_again(known)

    async def _asked_again(self, known: Published) -> Published:
        """What is published now; whoever comes while somebody asks takes that answer. Raises ProviderUnavailable."""
        async with self._asking:
            resting = time.monotonic() - self._tried_at < ASK_AGAIN_AFTER
            if self._known is known and not resting:
                self._tried_at = time.monotonic()
                await self._ask()
        if self._known.age >= KEYS_SURVIVE:
            raise ProviderUnavailable
        return self._known

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                self._known = await self._published()
        except UNREADABLE as error:
            logger.warning(
                "the identity provider's keys cannot be had",
                extra={"cause": f"{type(error).__name__}: {error}"[:LONGEST_TEXT]},
            )

    async def _published(self) -> Published:
        """By discovery. Raises what httpx and PyJWT raise, and ValueError for an answer that makes no sense."""
        about = await self._answer(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if about["issuer"] != self.issuer:
            raise ValueError("the discovery document is another issuer's")
        address = about["jwks_uri"]
        if not _is_safe(address):
            raise ValueError("the keys lie at an address that anybody could answer for")
        found = PyJWKSet.from_dict(await self._answer(address)).keys
        good = {key.key_id: key for key in found if key.algorithm_name in ALGORITHMS and key.public_key_use != "enc"}
        return Published(good, _endpoints_in(about), time.monotonic())

    async def _answer(self, address: str) -> dict[str, Any]:
        async with self._http.stream("GET", address, headers=PLAIN) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"answered with {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise ValueError("answered without an end")
        answer = json.loads(body)
        if not isinstance(answer, dict):
            raise TypeError("answered with something else")
        return answer


def _endpoints_in(about: Mapping[str, Any]) -> Endpoints | None:
    """None when it names none, or one at which anybody could answer: tokens are taken all the same."""
    authorization, token = about.get("authorization_endpoint"), about.get("token_endpoint")
    return Endpoints(authorization, token) if _is_safe(authorization) and _is_safe(token) else None


def _is_safe(address: object) -> TypeGuard[str]:
    try:
        return isinstance(address, str) and is_secure_url(address)
    except ValueError:  # brackets that do not close
        return False


def _is_plain(text: object) -> bool:
    """Whether it is a text of usual length that a database keeps and a page shows."""
    return isinstance(text, str) and 1 <= len(text) <= LONGEST_TEXT and text.isprintable()

"""The OpenID Connect provider: verifies its tokens with the keys and endpoints that it publishes."""

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
from runtime.addresses import is_secure_url
from runtime.settings import Settings
from server.auth.tokens import Unauthenticated

logger = logging.getLogger(__name__)

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Asymmetric signatures. Never ``none``, and never HS…: its key would be the public key, which is no secret."""

TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Accepted ``typ`` headers. A logout token, for one, proves no caller (OpenID Connect Back-Channel Logout, 2.4)."""

REQUIRED_CLAIMS = ["iss", "aud", "exp", "iat", "sub"]
LEEWAY = 10
"""Seconds by which the clocks of provider and server may differ."""

METADATA_TTL = 300.0
"""Seconds for which fetched keys and endpoints are fresh: a withdrawn key is refused after this time at the latest."""

STALE_METADATA_TTL = 3600.0
"""Seconds for which fetched keys stay valid while the provider cannot be reached."""

RETRY_INTERVAL = 10.0
"""Seconds between two fetches: tokens with forged key ids must not cause a request to the provider each."""

FETCH_TIMEOUT = 3.0
"""Seconds for a fetch of the discovery document and the keys together."""

REQUEST_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}
MAX_RESPONSE_BYTES = 256 * 1024
MAX_TEXT_LENGTH = 255
"""Characters of a subject (OpenID Connect Core, section 2), or of an e-mail address."""

FETCH_ERRORS = (
    *(httpx.HTTPError, httpx.InvalidURL, jwt.PyJWTError),
    *(KeyError, TypeError, ValueError, RecursionError, TimeoutError),
)
"""What a failed request or an invalid response may raise."""


class ProviderUnavailable(Exception):
    """The provider's keys or endpoints cannot be fetched."""


@dataclass(frozen=True, slots=True)
class IdTokenIdentity:
    """The person that a verified token names. ``email`` is None unless the provider has verified it.

    ``missing_claim`` is the claim because of which there is no verified address.
    """

    subject: str
    email: str | None
    expires_at: datetime
    missing_claim: str | None = None

    def verified_for(self, organisation: str | None) -> VerifiedIdentity:
        """The identity with which the person signs in to an organisation."""
        return VerifiedIdentity(self.subject, self.email, organisation, self.missing_claim)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The URLs at which a browser signs a person in and then gets the token."""

    authorization: str
    token: str


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """The keys and endpoints that a provider publishes. ``endpoints`` is None when it has no safe ones."""

    keys: Mapping[str | None, PyJWK] = field(default_factory=dict)
    endpoints: Endpoints | None = None
    fetched_at: float = float("-inf")

    @property
    def age(self) -> float:
        """Seconds since the fetch."""
        return time.monotonic() - self.fetched_at


class OidcProvider:
    """Verifies the tokens of one issuer."""

    def __init__(self, settings: Settings) -> None:
        self.issuer = settings.oidc_issuer
        self._audience = settings.oidc_audience
        self._trusts_addresses = settings.oidc_trust_email
        self._http = httpx.AsyncClient(timeout=FETCH_TIMEOUT, follow_redirects=False)
        self._metadata = ProviderMetadata()
        self._attempted_at = float("-inf")
        self._fetch_lock = asyncio.Lock()

    async def identity_in(self, token: str) -> IdTokenIdentity:
        """Verify a token and return the person that it names. Raises Unauthenticated, ProviderUnavailable."""
        try:
            key = await self._key_of(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                audience=self._audience,
                leeway=LEEWAY,
                options={"require": REQUIRED_CLAIMS, "enforce_minimum_key_length": True},
            )
            return self._identity_of(claims)
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The token has expired; get a new one.") from None
        except (jwt.PyJWTError, KeyError, TypeError, ValueError, OverflowError) as error:
            logger.info("token refused", extra=_cause_of(error))
            raise Unauthenticated("This server does not accept the token.") from None

    async def endpoints(self) -> Endpoints:
        """The URLs for signing in. Raises ProviderUnavailable, also when the provider publishes none or unsafe ones."""
        found = (await self._current_metadata()).endpoints
        if found is None:
            raise ProviderUnavailable
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _identity_of(self, claims: Mapping[str, Any]) -> IdTokenIdentity:
        subject, email = claims["sub"], claims.get("email")
        if not _is_short_text(subject):
            raise ValueError("invalid subject")
        missing = self._missing_claim(email, claims.get("email_verified"))
        expires_at = datetime.fromtimestamp(claims["exp"] + LEEWAY, UTC)
        return IdTokenIdentity(f"{self.issuer} {subject}", None if missing else email, expires_at, missing)

    def _missing_claim(self, email: object, verified: object) -> str | None:
        """The claim without which the address is not verified: it may belong to another person and gives no access."""
        if not _is_short_text(email):
            return "email"
        return None if verified is True or (verified is None and self._trusts_addresses) else "email_verified"

    async def _key_of(self, header: Mapping[str, Any]) -> PyJWK:
        """The key that a token names. Raises KeyError for an unknown key, ValueError for an unacceptable token."""
        if header.get("alg") not in ALGORITHMS or str(header.get("typ", "JWT")).lower() not in TOKEN_TYPES:
            raise ValueError("unacceptable algorithm or type of token")
        key_id = header.get("kid")
        keys = (await self._current_metadata()).keys
        if key_id not in keys:
            keys = (await self._refresh(self._metadata)).keys
        key = keys[key_id]
        if key.algorithm_name != header["alg"]:
            raise ValueError("the key is for another algorithm")
        return key

    async def _current_metadata(self) -> ProviderMetadata:
        known = self._metadata
        refreshing = known.age < STALE_METADATA_TTL and self._fetch_lock.locked()
        return known if known.age < METADATA_TTL or refreshing else await self._refresh(known)

    async def _refresh(self, known: ProviderMetadata) -> ProviderMetadata:
        """Replace this metadata. Concurrent callers share one fetch. Raises ProviderUnavailable."""
        async with self._fetch_lock:
            attempted_recently = time.monotonic() - self._attempted_at < RETRY_INTERVAL
            if self._metadata is known and not attempted_recently:
                self._attempted_at = time.monotonic()
                await self._try_fetch()
        if self._metadata.age >= STALE_METADATA_TTL:
            raise ProviderUnavailable
        return self._metadata

    async def _try_fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                self._metadata = await self._fetch()
        except FETCH_ERRORS as error:
            logger.warning(
                "fetching the identity provider's keys failed",
                extra={"cause": f"{type(error).__name__}: {error}"[:MAX_TEXT_LENGTH]},
            )

    async def _fetch(self) -> ProviderMetadata:
        """Fetch by OpenID Connect Discovery. Raises what httpx and PyJWT raise, ValueError for an invalid response."""
        discovery = await self._get_json(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if discovery["issuer"] != self.issuer:
            raise ValueError("the discovery document names another issuer")
        keys_url = discovery["jwks_uri"]
        if not _is_safe(keys_url):
            raise ValueError("jwks_uri is neither an https address nor on this machine")
        keys = PyJWKSet.from_dict(await self._get_json(keys_url)).keys
        usable = {key.key_id: key for key in keys if key.algorithm_name in ALGORITHMS and key.public_key_use != "enc"}
        return ProviderMetadata(usable, _endpoints_in(discovery), time.monotonic())

    async def _get_json(self, url: str) -> dict[str, Any]:
        async with self._http.stream("GET", url, headers=REQUEST_HEADERS) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"the response has the status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_RESPONSE_BYTES:
                    raise ValueError(f"the response is larger than {MAX_RESPONSE_BYTES} bytes")
        document = json.loads(body)
        if not isinstance(document, dict):
            raise TypeError("the response is not a JSON object")
        return document


def _cause_of(error: Exception) -> dict[str, str]:
    """Why a token is refused, for the log, without anything that the token contains."""
    cause = {"cause": type(error).__name__}
    match error:
        case jwt.MissingRequiredClaimError():
            return cause | {"claim": error.claim}
        case jwt.InvalidAudienceError():
            return cause | {"claim": "aud"}
        case jwt.InvalidIssuerError():
            return cause | {"claim": "iss"}
        case _:
            return cause


def _endpoints_in(discovery: Mapping[str, Any]) -> Endpoints | None:
    """None when an endpoint is missing or not safe; tokens are still accepted then."""
    authorization, token = discovery.get("authorization_endpoint"), discovery.get("token_endpoint")
    return Endpoints(authorization, token) if _is_safe(authorization) and _is_safe(token) else None


def _is_safe(url: object) -> TypeGuard[str]:
    try:
        return isinstance(url, str) and is_secure_url(url)
    except ValueError:  # brackets that do not close
        return False


def _is_short_text(text: object) -> bool:
    """Whether it is a printable text that is neither empty nor too long to store."""
    return isinstance(text, str) and 1 <= len(text) <= MAX_TEXT_LENGTH and text.isprintable()

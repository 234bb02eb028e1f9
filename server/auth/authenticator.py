"""Authenticates callers: at each request, then at intervals while a live session is open."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from access import api_tokens, principals
from access.principals import AccountByToken, MemberById, MemberBySubject, Principal, PrincipalRef
from access.sign_in import NotAMember, sign_in
from provisioning import validation
from runtime.database import Database, is_transient
from runtime.settings import Settings
from server.auth.oidc import IdTokenIdentity, OidcProvider, ProviderUnavailable
from server.auth.tokens import (
    ALGORITHM,
    AuthResult,
    Credential,
    Unauthenticated,
    algorithm_of,
    auth_result_of,
    read_token,
    token_in,
)

logger = logging.getLogger(__name__)

PRINCIPAL_CACHE_TTL = 1.0
"""Seconds for which a principal is not read again: one read serves a burst of calls."""

MAX_CACHED_PRINCIPALS = 10_000
REVALIDATION_INTERVAL = 2.0
"""Seconds between two checks of all live sessions."""

T = TypeVar("T")


class AuthenticationUnavailable(Exception):
    """The database or the identity provider cannot be reached. The message is for the caller."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Why a live session ends, as a websocket's close code and reason."""

    code: int
    reason: str


EXPIRED = SessionEnd(4401, "The token has expired: connect again with a new one")
REVOKED = SessionEnd(4401, "Your access was revoked")
CHANGED = SessionEnd(4403, "Your rights have changed: connect again")


@dataclass(eq=False)
class LiveSession:
    """A caller's open websocket, stream or download."""

    auth: AuthResult
    _end: SessionEnd | None = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, end: SessionEnd) -> None:
        """End the session for this reason."""
        self._end = end
        self._ended.set()

    async def wait_for_end(self) -> SessionEnd:
        """Wait until the session has been ended or its token has expired."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.auth.seconds_left):
                await self._ended.wait()
        return self._end or EXPIRED


class Authenticator:
    """Accepts every kind of token, and reads the rights of its principal from the database."""

    def __init__(self, settings: Settings, database: Database, limiter: CapacityLimiter) -> None:
        self._settings = settings
        self._database = database
        self._limiter = limiter
        self.provider = OidcProvider(settings) if settings.oidc_issuer else None
        self._cache: dict[PrincipalRef, tuple[Principal, float]] = {}
        self._verified: dict[bytes, Credential] = {}
        """What verified tokens say, by the digest of the token. The rights of its principal are read from the
        database."""
        self._live_sessions: set[LiveSession] = set()

    async def authenticate(self, authorization: str | None, organisation: str | None = None) -> AuthResult:
        """Authenticate an ``Authorization`` value. Raises Unauthenticated, AuthenticationUnavailable.

        ``organisation`` is the slug that selects one organisation for a person who belongs to several.
        """
        token = token_in(authorization)
        if token.startswith(api_tokens.PREFIX):
            return await self._by_api_token(token)
        if self.provider is None or algorithm_of(token) == ALGORITHM:
            return await self._by_credential(self._credential_in(token))
        return await self._by_id_token(self.provider, token, organisation)

    @contextmanager
    def live_session(self, auth: AuthResult) -> Iterator[LiveSession]:
        """Revalidate a session for the length of the block."""
        live_session = LiveSession(auth)
        self._live_sessions.add(live_session)
        try:
            yield live_session
        finally:
            self._live_sessions.discard(live_session)

    async def wait_for_session_end(self, auth: AuthResult) -> SessionEnd:
        """Wait until the token has expired, or the principal's rights have changed or were revoked."""
        with self.live_session(auth) as live_session:
            return await live_session.wait_for_end()

    async def revalidate_forever(self) -> None:
        """Revalidate all live sessions at each interval, until cancelled."""
        while True:
            await asyncio.sleep(REVALIDATION_INTERVAL)
            try:
                await self._revalidate()
            except Exception as error:  # noqa: BLE001  # one failure must not end revalidation
                # Sessions may stay open: they read from the same database, so they get nothing while it is unreachable.
                logger.warning("session revalidation failed, retrying", extra={"cause": type(error).__name__})

    async def close(self) -> None:
        """Close the connections to the identity provider."""
        if self.provider is not None:
            await self.provider.close()

    async def _by_api_token(self, token: str) -> AuthResult:
        if not api_tokens.is_token(token):
            raise Unauthenticated("This server does not accept the token.")
        return await self._by_credential(Credential(AccountByToken(api_tokens.digest_of(token))))

    def _credential_in(self, token: str) -> Credential:
        """Verify a token that Tenantry signed, once until it expires. Raises Unauthenticated."""
        digest = sha256(token.encode()).digest()  # so that no token stays in memory
        credential = self._verified.get(digest)
        if credential is not None and credential.expires_at is not None and datetime.now(UTC) < credential.expires_at:
            return credential
        self._verified.pop(digest, None)
        credential = read_token(self._settings, token)
        if len(self._verified) >= MAX_CACHED_PRINCIPALS:
            self._verified.pop(next(iter(self._verified)))
        self._verified[digest] = credential
        return credential

    async def _by_credential(self, credential: Credential) -> AuthResult:
        principal = await self._principal_of(credential.ref)
        if principal is None:
            raise Unauthenticated("This server does not accept the token.")
        return auth_result_of(credential, principal)

    async def _by_id_token(self, provider: OidcProvider, token: str, organisation: str | None) -> AuthResult:
        if organisation is not None and not validation.SLUG.fullmatch(organisation):
            raise Unauthenticated("There is no organisation with this slug.")
        try:
            identity = await provider.identity_in(token)
        except ProviderUnavailable:
            raise AuthenticationUnavailable("The identity provider cannot be reached; try again in a moment.") from None
        ref = MemberBySubject(identity.subject, organisation)
        principal = await self._principal_of(ref) or await self._first_sign_in(identity, ref)
        return auth_result_of(Credential(_session_ref(principal, ref), identity.expires_at), principal)

    async def _first_sign_in(self, identity: IdTokenIdentity, ref: MemberBySubject) -> Principal:
        try:
            return await self._transact(lambda session: sign_in(session, identity.verified_for(ref.organisation)))
        except NotAMember as refusal:
            claim = {"claim": identity.missing_claim} if identity.missing_claim else {}
            logger.warning("sign-in refused: no member for the token", extra=claim)
            raise Unauthenticated(str(refusal)) from None

    async def _principal_of(self, ref: PrincipalRef) -> Principal | None:
        cached = self._cache.get(ref)
        if cached is not None and time.monotonic() < cached[1]:
            return cached[0]
        principal = await self._transact(lambda session: principals.load_principal(session, ref))
        self._cache_principal(ref, principal)
        return principal

    def _cache_principal(self, ref: PrincipalRef, principal: Principal | None) -> None:
        self._cache.pop(ref, None)
        if principal is None:
            return
        if len(self._cache) >= MAX_CACHED_PRINCIPALS:
            self._cache.pop(next(iter(self._cache)))
        self._cache[ref] = principal, time.monotonic() + PRINCIPAL_CACHE_TTL

    async def _revalidate(self) -> None:
        live_sessions = list(self._live_sessions)
        if not live_sessions:
            return
        refs = {live_session.auth.credential.ref for live_session in live_sessions}
        found = await to_thread.run_sync(
            self._database.transact, principals.load_principals, refs, limiter=self._limiter
        )
        for live_session in live_sessions:
            _end_if_changed(live_session, found.get(live_session.auth.credential.ref))

    async def _transact(self, work: Callable[[Session], T]) -> T:
        """Run one transaction in a thread. Raises AuthenticationUnavailable if the database is unreachable or busy."""
        try:
            return await to_thread.run_sync(self._database.transact, work, limiter=self._limiter)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            logger.warning("authentication unavailable: database unreachable", extra={"cause": type(error).__name__})
            raise AuthenticationUnavailable("The database cannot be reached; try again in a moment.") from None


def _session_ref(principal: Principal, ref: MemberBySubject) -> PrincipalRef:
    """What revalidation reads: the member of one organisation, even if the person later joins another one."""
    actor = principal.actor
    return MemberById(actor.id, actor.organisation_id) if actor.organisation_id else ref


def _end_if_changed(live_session: LiveSession, principal: Principal | None) -> None:
    if principal is None:
        live_session.end(REVOKED)
    elif auth_result_of(live_session.auth.credential, principal) != live_session.auth:
        live_session.end(CHANGED)

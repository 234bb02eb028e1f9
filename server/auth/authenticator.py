"""Who is let in, and who is asked to leave: tokens of every kind, and a round every few seconds."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
    Claim,
    Unauthenticated,
    algorithm_of,
    auth_result_of,
    read_token,
    token_in,
)

logger = logging.getLogger(__name__)

REMEMBERED_FOR = 1.0
"""Seconds for which a standing is not read again: one read serves a burst of calls."""

MOST_REMEMBERED = 10_000
ROUND_EVERY = 2.0
"""Seconds between two looks at everybody who stays."""

T = TypeVar("T")


class AuthenticationUnavailable(Exception):
    """Nobody can tell just now who somebody is. The message is for the caller."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why somebody who stayed has to leave: as a websocket says it."""

    code: int
    reason: str


EXPIRED = Ending(4401, "The token has expired")
REVOKED = Ending(4401, "You have no access any more")
CHANGED = Ending(4403, "Your rights have changed: connect again")


@dataclass(eq=False)
class LiveSession:
    """Somebody who stays: on a websocket, on a stream."""

    shown: AuthResult
    ending: Ending | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, ending: Ending) -> None:
        """Have them leave."""
        self.ending = ending
        self._over.set()

    async def over(self) -> Ending:
        """Wait until they have to leave."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.shown.seconds_left):
                await self._over.wait()
        return self.ending or EXPIRED


class Authenticator:
    """Knows every kind of token, and reads from the tables what its bearer may."""

    def __init__(self, settings: Settings, database: Database, limiter: CapacityLimiter) -> None:
        self._settings = settings
        self._database = database
        self._limiter = limiter
        self.provider = OidcProvider(settings) if settings.oidc_issuer else None
        self._remembered: dict[PrincipalRef, tuple[Principal, float]] = {}
        self._visits: set[LiveSession] = set()

    async def authenticate(self, authorization: str | None, organisation: str | None = None) -> AuthResult:
        """Who an ``Authorization`` value proves the caller to be. Raises Unauthenticated, AuthenticationUnavailable.

        ``organisation`` is the slug of the one that somebody means who belongs to several.
        """
        token = token_in(authorization)
        if token.startswith(api_tokens.PREFIX):
            return await self._by_api_token(token)
        if self.provider is None or algorithm_of(token) == ALGORITHM:
            return await self._of(read_token(self._settings, token))
        return await self._signed_in(self.provider, token, organisation)

    @contextmanager
    def visit(self, shown: AuthResult) -> Iterator[LiveSession]:
        """Look after somebody for the length of the block."""
        visit = LiveSession(shown)
        self._visits.add(visit)
        try:
            yield visit
        finally:
            self._visits.discard(visit)

    async def dismissal(self, shown: AuthResult) -> Ending:
        """Wait until somebody has to leave: the token is over, or its bearer's standing has changed."""
        with self.visit(shown) as visit:
            return await visit.over()

    async def revalidate_forever(self) -> None:
        """Look at everybody who stays, again and again, until cancelled."""
        while True:
            await asyncio.sleep(ROUND_EVERY)
            try:
                await self._revalidate()
            except Exception as error:  # noqa: BLE001  # a round that fails must not be the last
                # Whoever stays reads from the same database: while it is away they get nothing.
                logger.warning("nobody can be looked after", extra={"cause": type(error).__name__})

    async def close(self) -> None:
        """Give connections back."""
        if self.provider is not None:
            await self.provider.close()

    async def _by_api_token(self, token: str) -> AuthResult:
        if not api_tokens.is_token(token):
            raise Unauthenticated("This token is not valid here.")
        return await self._of(Claim(AccountByToken(api_tokens.digest_of(token))))

    async def _of(self, claim: Claim) -> AuthResult:
        found = await self._standing_of(claim.whose)
        if found is None:
            raise Unauthenticated("This token is not valid here.")
        return auth_result_of(claim, found)

    async def _signed_in(self, provider: OidcProvider, token: str, organisation: str | None) -> AuthResult:
        if organisation is not None and not validation.SLUG.fullmatch(organisation):
            raise Unauthenticated("There is no organisation of this name.")
        try:
            vouched = await provider.identity_in(token)
        except ProviderUnavailable:
            raise AuthenticationUnavailable("The identity provider cannot be reached; try again in a moment.") from None
        whose = MemberBySubject(vouched.subject, organisation)
        found = await self._standing_of(whose) or await self._for_the_first_time(vouched, whose)
        return auth_result_of(Claim(_same_person(found, whose), vouched.expires_at), found)

    async def _for_the_first_time(self, vouched: IdTokenIdentity, whose: MemberBySubject) -> Principal:
        try:
            return await self._transact(lambda session: sign_in(session, vouched.identity_at(whose.organisation)))
        except NotAMember as refusal:
            raise Unauthenticated(str(refusal)) from None

    async def _standing_of(self, whose: PrincipalRef) -> Principal | None:
        known = self._remembered.get(whose)
        if known is not None and time.monotonic() < known[1]:
            return known[0]
        found = await self._transact(lambda session: principals.load_principal(session, whose))
        self._remember(whose, found)
        return found

    def _remember(self, whose: PrincipalRef, found: Principal | None) -> None:
        self._remembered.pop(whose, None)
        if found is None:
            return
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[whose] = found, time.monotonic() + REMEMBERED_FOR

    async def _revalidate(self) -> None:
        visits = list(self._visits)
        if not visits:
            return
        whose = {visit.shown.claim.whose for visit in visits}
        found = await to_thread.run_sync(
            self._database.transact, principals.load_principals, whose, limiter=self._limiter
        )
        for visit in visits:
            _judge(visit, found.get(visit.shown.claim.whose))

    async def _transact(self, work: Callable[[Session], T]) -> T:
        """One hop to a thread, one transaction. Raises AuthenticationUnavailable while the database is away or busy."""
        try:
            return await to_thread.run_sync(self._database.transact, work, limiter=self._limiter)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            logger.warning("nobody can be let in", extra={"cause": type(error).__name__})
            raise AuthenticationUnavailable("The database cannot be reached; try again in a moment.") from None


def _same_person(found: Principal, whose: MemberBySubject) -> PrincipalRef:
    """Whoever stays is looked after as the member they came in as, also when they join another organisation."""
    actor = found.actor
    return MemberById(actor.id, actor.organisation_id) if actor.organisation_id else whose


def _judge(visit: LiveSession, found: Principal | None) -> None:
    if found is None:
        visit.end(REVOKED)
    elif auth_result_of(visit.shown.claim, found) != visit.shown:
        visit.end(CHANGED)

"""How people come in by the dashboard: its page, and what its sign-in offers them."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from runtime.settings import LOOPBACK, Settings
from server import web_pages
from server.auth.csrf import is_cross_site, origin_of
from server.auth.oidc import RETRY_INTERVAL, Endpoints, OidcProvider, ProviderUnavailable
from server.graphql import responses
from server.graphql.error_masking import AWAY
from server.graphql.request import HttpRefused
from server.request_context import headers_of

PASSED_ON = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""What a proxy adds to a request that came from elsewhere."""


@dataclass(frozen=True, slots=True)
class SeededToken:
    """Somebody whom a newcomer can be. Without an organisation it is support."""

    organization: str | None
    role: str
    token: str


@dataclass(frozen=True)
class Dashboard:
    """The dashboard's addresses on the server."""

    settings: Settings
    provider: OidcProvider | None

    async def page(self, _: Request) -> Response:
        """The dashboard, wherever in it somebody is: its own script reads the address."""
        return web_pages.page("dashboard.html", elsewhere=await self._origins())

    async def sign_in(self, request: Request) -> Response:
        """The identity provider, if there is one, and the seed's tokens on the developer's own machine.

        Everybody may bring a token besides.
        """
        headers = headers_of(request)
        try:
            offered = {"provider": await self._offered(), "seeded": seeded_for(request, self.settings)}
        except ProviderUnavailable:
            return responses.refusal(_away(), responses.JSON, headers)
        return responses.written(HTTPStatus.OK, offered, responses.JSON, headers)

    async def _offered(self) -> dict[str, str] | None:
        endpoints = await self._endpoints()
        if endpoints is None:
            return None
        return {
            "issuer": self.settings.oidc_issuer,
            "clientId": self.settings.oidc_client_id,
            "authorizationEndpoint": endpoints.authorization,
            "tokenEndpoint": endpoints.token,
            "scope": self.settings.oidc_scope,
            # Some providers make tokens that we can read only for an audience that they were asked for.
            "audience": self.settings.oidc_audience,
        }

    async def _origins(self) -> list[str]:
        """Whom the page asks besides us: the provider, and whoever hands out its tokens, unless it is away now."""
        addresses = [self.settings.oidc_issuer] if self.settings.oidc_client_id else []
        with suppress(ProviderUnavailable):
            endpoints = await self._endpoints()
            addresses += [endpoints.token] if endpoints else []
        return list(dict.fromkeys(filter(None, map(origin_of, addresses))))

    async def _endpoints(self) -> Endpoints | None:
        """Where people sign in; None where the dashboard sends nobody. Raises ProviderUnavailable."""
        if self.provider is None or not self.settings.oidc_client_id:
            return None
        return await self.provider.endpoints()


def seeded_for(request: Request, settings: Settings) -> list[dict[str, str | None]]:
    """Tokens for whoever sits at this machine; none for anybody else, and none before the seed has made them."""
    if not settings.seeded_tokens or not is_from_this_machine(request):
        return []
    try:
        tokens = json.loads(Path(settings.seeded_tokens).read_text())
    except FileNotFoundError:
        return []
    return [asdict(one) for one in _seeded_in(tokens)]


def is_from_this_machine(request: Request) -> bool:
    """Whether a program or a page of ours asks from here, under a name that is this machine's everywhere.

    Any other name may have been made to lead here by somebody whose page asks (DNS rebinding).
    """
    peer = request.client.host if request.client else None
    near = peer in LOOPBACK and _host_name(request) in LOOPBACK
    return near and not is_cross_site(request) and not any(name in request.headers for name in PASSED_ON)


def _seeded_in(tokens: Mapping[str, str | Mapping[str, str]]) -> list[SeededToken]:
    """As the development server writes them: by organisation and role, and support's by itself."""
    held = [(slug, roles) for slug, roles in sorted(tokens.items()) if not isinstance(roles, str)]
    people = [SeededToken(slug, role, token) for slug, roles in held for role, token in roles.items()]
    return people + [SeededToken(None, role, token) for role, token in tokens.items() if isinstance(token, str)]


def _host_name(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:  # brackets that do not close
        return None


def _away() -> HttpRefused:
    message = "The identity provider cannot be reached, or does not say where people sign in; try again in a moment."
    again = {"Retry-After": f"{RETRY_INTERVAL:.0f}"}
    return HttpRefused(HTTPStatus.SERVICE_UNAVAILABLE, message, AWAY, again)

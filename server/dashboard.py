"""The dashboard's addresses: its page, the ways to sign in that it offers."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from runtime.addresses import LOOPBACK
from runtime.settings import Settings
from server import web_pages
from server.auth.csrf import is_cross_site, origin_of
from server.auth.oidc import RETRY_INTERVAL, Endpoints, OidcProvider, ProviderUnavailable
from server.graphql import responses
from server.graphql.error_masking import SERVICE_UNAVAILABLE
from server.graphql.request import HttpRefused
from server.request_context import headers_of

PAGE_PATH = re.compile(r"/dashboard/?|/dashboard/(tenants|tenants/(?!\.{1,2}/?$)[^/]+|audit|people|signed-in)/?")
"""The paths of the dashboard's pages, as ``Pages`` in ``dashboard/app/app.tsx`` routes them."""

PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers that a proxy adds to the requests that it forwards."""


@dataclass(frozen=True, slots=True)
class SeededToken:
    """A token of the seed data. ``organization`` is None for support."""

    organization: str | None
    role: str
    token: str


@dataclass(frozen=True)
class Dashboard:
    """The dashboard's addresses on the server."""

    settings: Settings
    provider: OidcProvider | None

    async def page(self, request: Request) -> Response:
        """The dashboard's file, the same for each page: its script reads the address, and shows what is not found.

        Only a person's browser gets it at other addresses, with 404. Raises HTTPException for other clients.
        """
        is_page = PAGE_PATH.fullmatch(request.scope["path"]) is not None
        if not is_page and "text/html" not in request.headers.get("accept", ""):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        response = web_pages.page("dashboard.html", connect_to=await self._provider_origins())
        if not is_page:
            response.status_code = HTTPStatus.NOT_FOUND
        return response

    async def sign_in(self, request: Request) -> Response:
        """The identity provider, if one is configured, and on a developer's own machine the tokens of the seed data.

        Pasting a token is always possible, so it is not listed.
        """
        headers = headers_of(request)
        try:
            offered = {"provider": await self._provider_config(), "seeded": seeded_tokens_for(request, self.settings)}
        except ProviderUnavailable:
            return responses.from_refusal(_provider_unavailable(), responses.JSON, headers)
        return responses.json_response(HTTPStatus.OK, offered, responses.JSON, headers)

    async def _provider_config(self) -> dict[str, str] | None:
        endpoints = await self._endpoints()
        if endpoints is None:
            return None
        return {
            "issuer": self.settings.oidc_issuer,
            "clientId": self.settings.oidc_client_id,
            "authorizationEndpoint": endpoints.authorization,
            "tokenEndpoint": endpoints.token,
            "scope": self.settings.oidc_scope,
            # Some providers issue a verifiable token only when the request names an audience.
            "audience": self.settings.oidc_audience,
        }

    async def _provider_origins(self) -> list[str]:
        """The origins of the provider and, while the provider can be reached, of its token endpoint."""
        urls = [self.settings.oidc_issuer] if self.settings.oidc_client_id else []
        with suppress(ProviderUnavailable):
            endpoints = await self._endpoints()
            urls += [endpoints.token] if endpoints else []
        return list(dict.fromkeys(filter(None, map(origin_of, urls))))

    async def _endpoints(self) -> Endpoints | None:
        """The URLs for signing in; None unless the dashboard uses a provider. Raises ProviderUnavailable."""
        if self.provider is None or not self.settings.oidc_client_id:
            return None
        return await self.provider.endpoints()


def seeded_tokens_for(request: Request, settings: Settings) -> list[dict[str, str | None]]:
    """The seed data's tokens, for requests from this machine only; none before the seed command has written them."""
    if not settings.seeded_tokens or not is_from_this_machine(request):
        return []
    try:
        tokens = json.loads(Path(settings.seeded_tokens).read_text())
    except FileNotFoundError:
        return []
    return [asdict(token) for token in _seeded_tokens_in(tokens)]


def is_from_this_machine(request: Request) -> bool:
    """Whether a program or a page of this server on this machine sent the request, to a loopback host name.

    A request to another host name may come from a page of an attacker, which DNS rebinding has pointed to this machine.
    """
    peer = request.client.host if request.client else None
    is_local = peer in LOOPBACK and _host_name(request) in LOOPBACK
    return is_local and not is_cross_site(request) and not any(name in request.headers for name in PROXY_HEADERS)


def _seeded_tokens_in(tokens: Mapping[str, str | Mapping[str, str]]) -> list[SeededToken]:
    """Read the development server's file: tokens by organisation and role, and support's at the top level."""
    by_role = [(slug, roles) for slug, roles in sorted(tokens.items()) if not isinstance(roles, str)]
    people = [SeededToken(slug, role, token) for slug, roles in by_role for role, token in roles.items()]
    return people + [SeededToken(None, role, token) for role, token in tokens.items() if isinstance(token, str)]


def _host_name(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:  # brackets that do not close
        return None


def _provider_unavailable() -> HttpRefused:
    message = "The identity provider cannot be reached, or publishes no safe endpoints; try again in a moment."
    headers = {"Retry-After": f"{RETRY_INTERVAL:.0f}"}
    return HttpRefused(HTTPStatus.SERVICE_UNAVAILABLE, message, SERVICE_UNAVAILABLE, headers)

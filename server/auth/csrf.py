"""PrincipalRef pages may call us: our own, and those that the settings name."""

from http import HTTPStatus

from starlette.requests import HTTPConnection
from strawberry.http.websocket_origin import is_same_origin, normalize_origin

from runtime.settings import ORIGIN, Settings
from server.graphql.request import HttpRefused

PREFLIGHT = "graphql-require-preflight"
"""A header that a page of another site cannot send unasked: the browser asks us first (CORS)."""

OWN_SITES = {"same-origin", "none"}
"""What a browser says of a request from our own pages, and of one that a person typed (Fetch Metadata)."""


def refuse_cross_site(request: HTTPConnection, settings: Settings) -> None:
    """Refuse a question that another site's page could have asked in a person's name. Raises HttpRefused.

    POST needs no such look: a body of application/json is never sent across sites unasked.
    """
    if request.scope["method"] != "GET" or PREFLIGHT in request.headers:
        return
    origin = request.headers.get("origin")
    if origin is None:
        foreign = request.headers.get("sec-fetch-site", "none") not in OWN_SITES
    else:
        own = is_same_origin(origin, request.headers.get("host"))
        foreign = not own and normalize_origin(origin) not in settings.allowed_origins
    if foreign:
        raise HttpRefused(
            HTTPStatus.FORBIDDEN, f"Another site's page may ask this only with the header {PREFLIGHT}.", "FORBIDDEN"
        )


def is_from_own_page(request: HTTPConnection) -> bool:
    """Whether no page of another origin asks: one of ours does, a person who typed the address, or a program."""
    origin = request.headers.get("origin")
    own = origin is None or is_same_origin(origin, request.headers.get("host"))
    return own and request.headers.get("sec-fetch-site", "none") in OWN_SITES


def origin_of(url: str) -> str | None:
    """The origin of an address, as a page's policy names it; None for what would be more than an origin there."""
    origin = normalize_origin(url)
    return origin if origin and ORIGIN.fullmatch(origin) else None

"""Cross-site requests: which pages of other sites may call this server."""

from collections.abc import Collection
from http import HTTPStatus

from starlette.requests import HTTPConnection
from strawberry.http.websocket_origin import is_same_origin, normalize_origin

from runtime.settings import ORIGIN, Settings
from server.graphql.request import HttpRefused

PREFLIGHT = "graphql-require-preflight"
"""A header that a page of another site cannot send before the browser has asked this server (CORS)."""

OWN_SITES = {"same-origin", "none"}
"""Values for requests of this server's own pages, and of addresses that a person typed (Fetch Metadata)."""


def refuse_cross_site(request: HTTPConnection, settings: Settings) -> None:
    """Refuse a GET that a page of another site could have sent with a person's credentials. Raises HttpRefused.

    POST needs no such check: a browser sends a body of application/json across sites only after asking this server.
    """
    if request.scope["method"] != "GET" or PREFLIGHT in request.headers:
        return
    if is_cross_site(request, settings.allowed_origins):
        raise HttpRefused(
            HTTPStatus.FORBIDDEN, f"Another site's page may ask this only with the header {PREFLIGHT}.", "FORBIDDEN"
        )


def is_cross_site(request: HTTPConnection, allowed_origins: Collection[str] = ()) -> bool:
    """Whether a page of another site sent the request, and not a page of this server, a person or a program."""
    origin = request.headers.get("origin")
    if origin is not None and normalize_origin(origin) in allowed_origins:
        return False
    same_origin = origin is None or is_same_origin(origin, request.headers.get("host"))
    return not same_origin or request.headers.get("sec-fetch-site", "none") not in OWN_SITES


def origin_of(url: str) -> str | None:
    """The origin of an address, as a page's policy names it; None for an address without a safe origin."""
    origin = normalize_origin(url)
    return origin if origin and ORIGIN.fullmatch(origin) else None

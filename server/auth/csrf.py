"""Cross-site requests: which pages of other sites may call this server."""

from collections.abc import Collection
from http import HTTPStatus

from starlette.requests import HTTPConnection
from strawberry.http.websocket_origin import is_same_origin, normalize_origin

from runtime.addresses import is_origin
from runtime.settings import Settings
from server.graphql.request import HttpRefused

PREFLIGHT = "graphql-require-preflight"
"""A header that a page of another site can send only after a CORS preflight request to this server."""

OWN_SITES = {"same-origin", "none"}
"""Fetch Metadata values for requests of this server's own pages, and for addresses typed into the browser."""


def refuse_cross_site(request: HTTPConnection, settings: Settings) -> None:
    """Refuse a GET that a page of another site could have sent with a person's credentials. Raises HttpRefused.

    POST needs no such check: a browser sends application/json to another site only after a CORS preflight request.
    """
    if request.scope["method"] != "GET" or PREFLIGHT in request.headers:
        return
    if is_cross_site(request, settings.allowed_origins):
        raise HttpRefused(
            HTTPStatus.FORBIDDEN, f"A page of another site must send the header {PREFLIGHT}.", "FORBIDDEN"
        )


def is_cross_site(request: HTTPConnection, allowed_origins: Collection[str] = ()) -> bool:
    """Whether a page of another site sent the request, and not a page of this server, a person or a program."""
    origin = request.headers.get("origin")
    if origin is not None and normalize_origin(origin) in allowed_origins:
        return False
    same_origin = origin is None or is_same_origin(origin, request.headers.get("host"))
    return not same_origin or request.headers.get("sec-fetch-site", "none") not in OWN_SITES


def origin_of(url: str) -> str | None:
    """The origin of a URL, for a Content-Security-Policy; None for a URL without a safe origin."""
    origin = normalize_origin(url)
    return origin if origin and is_origin(origin) else None

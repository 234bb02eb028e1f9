"""Who asks over HTTP: what every answer says, and whose request it is."""

import re
from collections.abc import Collection
from http import HTTPStatus
from uuid import uuid4

from starlette.requests import Request

from server.auth.authenticator import AuthenticationUnavailable
from server.auth.csrf import refuse_cross_site
from server.auth.tokens import AuthResult, Unauthenticated
from server.graphql.request import HttpRefused
from server.services import Services

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
QUOTED = re.compile(r'"([^"\\]*)"')
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
ORGANISATION = "tenantry-organization"
"""Header with the slug of the one that is meant, for people who belong to several."""

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tenantry"'}


def headers_of(request: Request) -> dict[str, str]:
    """What every answer carries."""
    return {**NO_STORE, "X-Request-ID": request_id_of(request)}


def request_id_of(request: Request) -> str:
    """The client's id for this request when it is a sane one, otherwise a new one."""
    given = request.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid4().hex


def idempotency_key_of(request: Request) -> str | None:
    """What makes a repeat of this request safe; some write it as the quoted string of RFC 8941."""
    given = request.headers.get("idempotency-key")
    quoted = QUOTED.fullmatch(given or "")
    return quoted[1] if quoted else given


async def caller_of(request: Request, services: Services, methods: Collection[str]) -> AuthResult:
    """Who asks, by one of these methods. Raises HttpRefused."""
    if request.method not in methods:
        raise not_allowed("Use POST, or GET for queries.", ", ".join(sorted(methods)))
    refuse_cross_site(request, services.settings)
    try:
        return await services.authenticator.authenticate(
            request.headers.get("authorization"), request.headers.get(ORGANISATION)
        )
    except Unauthenticated as refusal:
        raise HttpRefused(HTTPStatus.UNAUTHORIZED, str(refusal), "UNAUTHENTICATED", CHALLENGE) from None
    except AuthenticationUnavailable as refusal:
        message, again = str(refusal), {"Retry-After": "1"}
        raise HttpRefused(HTTPStatus.SERVICE_UNAVAILABLE, message, "SERVICE_UNAVAILABLE", again) from None


def not_allowed(message: str, methods: str) -> HttpRefused:
    """The refusal of a method: these would do."""
    return HttpRefused(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": methods})

"""The facts of one HTTP request: its caller, its id, its idempotency key."""

import re
from collections.abc import Collection
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.requests import HTTPConnection, Request

from provisioning.actors import Actor
from server.auth.authenticator import AuthenticationUnavailable
from server.auth.csrf import refuse_cross_site
from server.auth.tokens import AuthResult, Unauthenticated
from server.graphql.request import HttpRefused
from server.services import Services

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
QUOTED_STRING = re.compile(r'"([^"\\]*)"')
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
ORGANISATION_HEADER = "tenantry-organization"
"""The slug that selects one organisation, for people who belong to several."""

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="tenantry"'}


def headers_of(request: HTTPConnection) -> dict[str, str]:
    """The headers of every response to this request."""
    return {**NO_STORE, "X-Request-ID": request_id_of(request)}


def request_id_of(request: HTTPConnection) -> str:
    """The client's id for this request if it is well-formed, otherwise a new one, the same each time."""
    chosen = request.scope.get("state", {}).get("request_id")
    return str(chosen) if chosen is not None else _new_request_id(request)


def _new_request_id(request: HTTPConnection) -> str:
    given = request.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid4().hex


def log_facts_of(actor: Actor) -> dict[str, Any]:
    """The caller in a log line, by its ids; its name and address are not logged."""
    organisation = {"organisation_id": actor.organisation_id} if actor.organisation_id else {}
    return {"caller_kind": actor.kind.value, "caller_id": actor.id, **organisation}


def idempotency_key_of(request: Request) -> str | None:
    """The ``Idempotency-Key`` header, also in the form of a quoted string (RFC 8941)."""
    given = request.headers.get("idempotency-key")
    quoted = QUOTED_STRING.fullmatch(given or "")
    return quoted[1] if quoted else given


async def authenticate(request: Request, services: Services, methods: Collection[str]) -> AuthResult:
    """Authenticate a request that uses one of these methods. Raises HttpRefused."""
    if request.method not in methods:
        raise not_allowed("Use POST, or GET for queries.", ", ".join(sorted(methods)))
    refuse_cross_site(request, services.settings)
    try:
        auth = await services.authenticator.authenticate(
            request.headers.get("authorization"), request.headers.get(ORGANISATION_HEADER)
        )
    except Unauthenticated as refusal:
        raise HttpRefused(HTTPStatus.UNAUTHORIZED, str(refusal), "UNAUTHENTICATED", CHALLENGE) from None
    except AuthenticationUnavailable as refusal:
        message, retry_after = str(refusal), {"Retry-After": "1"}
        raise HttpRefused(HTTPStatus.SERVICE_UNAVAILABLE, message, "SERVICE_UNAVAILABLE", retry_after) from None
    request.state.caller = auth.identity.actor  # for the line in the log
    return auth


def not_allowed(message: str, methods: str) -> HttpRefused:
    """The refusal of a method. ``methods`` are the allowed ones, comma separated."""
    return HttpRefused(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": methods})

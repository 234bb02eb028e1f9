"""HTTP responses of GraphQL: media type, status, headers, body.

GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/), sections 6 and 7.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from math import ceil
from typing import Any

import mimeparse
from graphql import GraphQLError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from schema.context import Budget, OrganizationBudget
from server.graphql.request import HttpRefused
from server.limits.rate_limit import RateLimited

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"

MAX_ACCEPT_LENGTH = 1000
"""Characters. Parsing an Accept header takes time that grows with the square of its length, before authentication."""

ACCEPTS_CACHED = 64
"""Accept headers of which the media type is remembered: clients send the same few."""

SERVER_ERROR_STATUSES = {
    "TIMEOUT": HTTPStatus.GATEWAY_TIMEOUT,
    "INTERNAL_SERVER_ERROR": HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""By code, the statuses of request errors that the client did not cause: a mutation may have taken effect."""

MAX_ERRORS = 5
"""The most errors in one response. The rest of a longer list adds no information."""


def media_type_of(request: Request) -> str:
    """The media type of the response. Raises HttpRefused when the client accepts none of the offered ones.

    ``application/graphql-response+json`` only for clients that name it: to all others JSON is ``application/json``.
    """
    return _media_type_for(", ".join(request.headers.getlist("accept")).lower() or "*/*")


@lru_cache(ACCEPTS_CACHED)
def _media_type_for(accept: str) -> str:
    offered = [JSON, GRAPHQL_RESPONSE] if GRAPHQL_RESPONSE in accept else [JSON]
    return negotiate(offered, accept)


def negotiate(offered: list[str], accept: str) -> str:
    """The offered type that the client prefers, the last of several equal ones. Raises HttpRefused if there is none."""
    try:
        best: str = mimeparse.best_match(offered, accept) if len(accept) <= MAX_ACCEPT_LENGTH else ""
    except mimeparse.MimeTypeParseException:
        best = ""
    if not best:
        raise HttpRefused(HTTPStatus.NOT_ACCEPTABLE, f"The Accept header must allow {' or '.join(offered)}.")
    return best


def from_result(
    result: ExecutionResult, media_type: str, budget: Budget | None, headers: Mapping[str, str]
) -> Response:
    """The response for the result of an operation."""
    status, status_headers = _status_of(result, media_type)
    return json_response(
        status, body_of(result), media_type, {**headers, **_rate_limit_headers(budget), **status_headers}
    )


def from_refusal(refused: HttpRefused, media_type: str, headers: Mapping[str, str]) -> Response:
    """The response for a request of which nothing was executed."""
    extensions = {"code": refused.code, "requestId": headers["X-Request-ID"]}
    error = GraphQLError(str(refused), extensions=extensions)
    return json_response(refused.status, {"errors": [error.formatted]}, media_type, {**headers, **refused.headers})


def json_response(status: HTTPStatus, body: object, media_type: str, headers: Mapping[str, str]) -> Response:
    """A JSON response. It is encoded as UTF-8, the only encoding of JSON (RFC 8259, section 8.1)."""
    return Response(_json_of(body), status, dict(headers), media_type)


def _json_of(body: object) -> bytes:
    try:
        return to_json(body)
    except ValueError:  # half of a surrogate pair, which a message may quote: only an escape can say it
        return json.dumps(body, separators=(",", ":")).encode()


def body_of(result: ExecutionResult) -> dict[str, Any]:
    """The body as the protocol defines it: without ``data`` when nothing was executed."""
    errors = [error.formatted for error in (result.errors or ())[:MAX_ERRORS]]
    body: dict[str, Any] = {"errors": errors} if errors else {}
    return body if is_request_error(result) else {**body, "data": result.data}


def is_request_error(result: ExecutionResult) -> bool:
    """Whether nothing was executed: then no error has the path of a field."""
    if isinstance(result, PreExecutionError):
        return True
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())


def _status_of(result: ExecutionResult, media_type: str) -> tuple[HTTPStatus, dict[str, str]]:
    """Status and headers. A rate-limited request gets 429 in every media type."""
    limited = next((error for error in result.errors or () if isinstance(error, RateLimited)), None)
    if limited is not None:
        retry_after = {"Retry-After": str(limited.retry_after)}
        return HTTPStatus.TOO_MANY_REQUESTS, {**retry_after, **_rate_limit_headers(limited.budget)}
    if media_type == GRAPHQL_RESPONSE and is_request_error(result):
        codes = {(error.extensions or {}).get("code") for error in result.errors or ()}
        statuses = (status for code, status in SERVER_ERROR_STATUSES.items() if code in codes)
        return next(statuses, HTTPStatus.BAD_REQUEST), {}
    return HTTPStatus.OK, {}


def _rate_limit_headers(budget: Budget | None) -> dict[str, str]:
    """The budgets of the caller and of its organisation: points, and seconds until they are full again.

    ``RateLimit`` and ``RateLimit-Policy`` are those of draft-ietf-httpapi-ratelimit-headers; the others are older.
    """
    if budget is None:
        return {}
    full_in = _seconds_until(budget.reset_at)
    buckets: dict[str, Budget | OrganizationBudget] = {"caller": budget}
    if budget.organization:
        buckets["organization"] = budget.organization
    return {
        "RateLimit": ", ".join(
            f'"{name}";r={bucket.remaining};t={_seconds_until(bucket.reset_at)}' for name, bucket in buckets.items()
        ),
        "RateLimit-Policy": ", ".join(
            f'"{name}";q={bucket.limit};w={bucket.window};qu="points"' for name, bucket in buckets.items()
        ),
        "RateLimit-Limit": str(budget.limit),
        "RateLimit-Remaining": str(budget.remaining),
        "RateLimit-Reset": str(full_in),
    }


def _seconds_until(moment: datetime) -> int:
    return max(ceil((moment - datetime.now(UTC)).total_seconds()), 0)

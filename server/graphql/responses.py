"""How an answer is spelled over HTTP: in which media type, with which status, and what a request error leaves out.

GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/), sections 6 and 7.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from math import ceil
from typing import Any

import mimeparse
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from schema.context import Budget
from server.graphql.request import HttpRefused
from server.limits.rate_limit import RateLimited

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
STREAM = "text/event-stream"

LONGEST_ACCEPT = 1000
"""Characters. Reading what is accepted takes time that grows with the square of it, before anybody is known."""

OUR_FAULT = {"TIMEOUT": HTTPStatus.GATEWAY_TIMEOUT, "INTERNAL_SERVER_ERROR": HTTPStatus.INTERNAL_SERVER_ERROR}
"""What a request error may be besides the client's: something may have been executed."""

MOST_ERRORS = 5
"""In one answer: a list of a hundred faults tells no more than its beginning."""


def media_type_of(request: Request) -> str:
    """The media type that the client prefers. Raises HttpRefused when it takes none of ours.

    GraphQL's own only for those who name it: to everybody else a JSON object is ``application/json``.
    """
    accept = ", ".join(request.headers.getlist("accept")).lower() or "*/*"
    named = [JSON, RESPONSE] if RESPONSE in accept else [JSON]
    return preferred(named, accept)


def preferred(offered: list[str], accept: str) -> str:
    """The best of what is offered, the last where two are as good. Raises HttpRefused when none is accepted."""
    try:
        best: str = mimeparse.best_match(offered, accept) if len(accept) <= LONGEST_ACCEPT else ""
    except mimeparse.MimeTypeParseException:
        best = ""
    if not best:
        raise HttpRefused(HTTPStatus.NOT_ACCEPTABLE, f"Accept {' or '.join(offered)}: nothing else is spoken here.")
    return best


def answer(result: ExecutionResult, media_type: str, budget: Budget | None, headers: Mapping[str, str]) -> Response:
    """What the client gets of a result."""
    status, more = _status_of(result, media_type)
    return written(status, body_of(result), media_type, {**headers, **_budget_in(budget), **more})


def refusal(refused: HttpRefused, media_type: str, headers: Mapping[str, str]) -> Response:
    """What the client gets when nothing was executed."""
    extensions = {"code": refused.code, "requestId": headers["X-Request-ID"]}
    error = GraphQLError(str(refused), extensions=extensions)
    return written(refused.status, {"errors": [error.formatted]}, media_type, {**headers, **refused.headers})


def written(status: HTTPStatus, body: object, media_type: str, headers: Mapping[str, str]) -> Response:
    """A JSON answer. Its characters are UTF-8, which is all that JSON may be (RFC 8259, section 8.1)."""
    content = json.dumps(body, separators=(",", ":"))
    return Response(content, status, dict(headers), media_type)


def body_of(result: ExecutionResult) -> dict[str, Any]:
    """The result as the protocol spells it: without ``data`` when nothing was executed."""
    errors = [error.formatted for error in (result.errors or ())[:MOST_ERRORS]]
    body: dict[str, Any] = {"errors": errors} if errors else {}
    return body if is_request_error(result) else {**body, "data": result.data}


def is_request_error(result: ExecutionResult) -> bool:
    """Whether the result says that nothing was executed: no field can have failed then."""
    if isinstance(result, PreExecutionError):
        return True
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())


def _status_of(result: ExecutionResult, media_type: str) -> tuple[HTTPStatus, dict[str, str]]:
    """Whoever spends too fast is told in HTTP's own words, whatever it accepts."""
    limited = next((error for error in result.errors or () if isinstance(error, RateLimited)), None)
    if limited is not None:
        return HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(limited.retry_after), **_budget_in(limited.budget)}
    if media_type == RESPONSE and is_request_error(result):
        codes = {(error.extensions or {}).get("code") for error in result.errors or ()}
        return next((status for code, status in OUR_FAULT.items() if code in codes), HTTPStatus.BAD_REQUEST), {}
    return HTTPStatus.OK, {}


def _budget_in(budget: Budget | None) -> dict[str, str]:
    """The caller's budget in headers: points, and seconds until the bucket is full again."""
    if budget is None:
        return {}
    full_in = max(ceil((budget.reset_at - datetime.now(UTC)).total_seconds()), 0)
    return {
        "RateLimit-Limit": str(budget.limit),
        "RateLimit-Remaining": str(budget.remaining),
        "RateLimit-Reset": str(full_in),
    }

"""Errors outside of GraphQL operations, in the form that the API's errors have: JSON with a code and a request id."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from runtime.request_ids import current_request_id
from schema.errors import NotFound
from server.graphql import responses
from server.graphql.error_masking import INTERNAL_ERROR_MESSAGE, INTERNAL_SERVER_ERROR
from server.graphql.request import HttpRefused
from server.request_context import NO_STORE, headers_of, not_allowed

NOTHING_HERE = HttpRefused(
    HTTPStatus.NOT_FOUND,
    "There is nothing at this address. Tenantry is served at the root of a host name, without a path before it.",
    NotFound.code,
)
WEBSOCKET_REFUSED = HttpRefused(HTTPStatus.FORBIDDEN, "The server refuses this websocket.", "FORBIDDEN")
INTERNAL_ERROR = HttpRefused(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR_MESSAGE, INTERNAL_SERVER_ERROR)
NOT_HTTP = HttpRefused(
    HTTPStatus.BAD_REQUEST, "This is not a valid HTTP request.", "BAD_REQUEST", {"Connection": "close"}
)
NO_SUCH_VERSION = HttpRefused(
    HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    "The server speaks HTTP/1.1 and HTTP/1.0 only: send the request with one of them.",
    "BAD_REQUEST",
    {"Connection": "close"},
)
NO_TARGET = HttpRefused(
    HTTPStatus.BAD_REQUEST,
    "The address in the first line of a request must begin with a slash: the server is not a proxy.",
    "BAD_REQUEST",
    {"Connection": "close"},
)


def response_to(refused: HttpRefused, request_id: str) -> Response:
    """The response for a request that no endpoint answers."""
    return responses.from_refusal(refused, responses.JSON, {**NO_STORE, "X-Request-ID": request_id})


def from_exception(request: Request, error: Exception) -> Response:
    """The response for what Starlette raises: no such address, or a method that the address does not support."""
    assert isinstance(error, HTTPException), "registered for this exception only"
    return responses.from_refusal(_refusal_of(error), responses.JSON, headers_of(request))


def _refusal_of(error: HTTPException) -> HttpRefused:
    headers = dict(error.headers or {})
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return NOTHING_HERE
        case HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = headers.get("Allow", "GET")
            return not_allowed(f"Use {allowed}.", allowed)
        case status:
            return HttpRefused(HTTPStatus(status), error.detail, headers=headers)


class Cors(CORSMiddleware):
    """Starlette's answers to requests from pages of other sites, with its refusals as JSON."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Allow or refuse what a browser asks before it sends a page's request."""
        response = super().preflight_response(request_headers)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        message = bytes(response.body).decode()
        return response_to(
            HttpRefused(HTTPStatus(response.status_code), message, headers=kept), current_request_id() or ""
        )

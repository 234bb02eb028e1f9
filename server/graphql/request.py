"""Reads a GraphQL request from the body or the query string of an HTTP request."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request

from server.graphql import strict_json
from server.graphql.trusted_documents import reference_in

MAX_BODY_BYTES = 256 * 1024

MAX_MESSAGE_LENGTH = 300
"""Characters of a refusal's message, which may quote the client's input."""

BODY_TIMEOUT = 10.0
"""Seconds in which a client must send the whole body: a slow client occupies a connection."""


class HttpRefused(Exception):
    """The request is refused before anything is executed. The message is for the client."""

    def __init__(
        self, status: HTTPStatus, message: str, code: str = "BAD_REQUEST", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message[:MAX_MESSAGE_LENGTH])
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """The parameters of a GraphQL request, as GraphQL over HTTP names them."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None
    extensions: dict[str, Any] | None


async def graphql_request_of(request: Request) -> GraphQLRequest:
    """Read a GraphQL request. Raises HttpRefused."""
    if request.method == "GET":
        return _checked(_from_query_string(request))
    _check_media_type(request)
    return _checked(_parsed(await _body(request)))


def _check_media_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HttpRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The Content-Type must be application/json.",
            headers={"Accept-Post": "application/json"},
        )


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await _read(request)
    except TimeoutError:
        message = f"The body was not received within {BODY_TIMEOUT:.0f} s."
        raise HttpRefused(HTTPStatus.REQUEST_TIMEOUT, message, headers={"Connection": "close"}) from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HttpRefused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The body of a request may have at most {MAX_BODY_BYTES // 1024} kB.",
                # The rest of the body is not read, so the connection cannot be used again.
                headers={"Connection": "close"},
            )
    return bytes(body)


def _from_query_string(request: Request) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query_params)
    return {name: _parsed(value) if name in {"variables", "extensions"} else value for name, value in given.items()}


def _parsed(text: str | bytes) -> Any:  # noqa: ANN401  # JSON may be anything
    try:
        return strict_json.loads(text)
    except (ValueError, RecursionError):
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "The request is not valid JSON.") from None


def _checked(given: object) -> GraphQLRequest:
    if isinstance(given, list):
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "Batching is not supported: send one operation per request.")
    if not isinstance(given, dict):
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "A request must be a JSON object with a query.")
    query = given.get("query") or reference_in(given)
    if not isinstance(query, str) or not query.strip():
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "The request has no query.")
    return GraphQLRequest(
        query,
        _of_type(given, "variables", dict, "an object"),
        _of_type(given, "operationName", str, "a string") or None,
        _of_type(given, "extensions", dict, "an object"),
    )


def _of_type(given: Mapping[str, Any], name: str, type_: type, noun: str) -> Any:  # noqa: ANN401  # of that type
    value = given.get(name)
    if value is not None and not isinstance(value, type_):
        raise HttpRefused(HTTPStatus.BAD_REQUEST, f"{name} must be {noun}.")
    return value

"""One GraphQL request over HTTP: read from a body or an address, or refused."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request

from server.graphql.trusted_documents import reference_in

LARGEST_BODY = 256 * 1024

LONGEST_MESSAGE = 300
"""Characters of a refusal, some of which may be the client's own input."""

BODY_WITHIN = 10.0
"""Seconds that a client may take to send its body: whoever drips it in holds a connection."""


class HttpRefused(Exception):
    """The request is not one that GraphQL over HTTP knows. The message is for the client."""

    def __init__(
        self, status: HTTPStatus, message: str, code: str = "BAD_REQUEST", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message[:LONGEST_MESSAGE])
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Document:
    """What is to be executed."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None
    extensions: dict[str, Any] | None


async def document_of(request: Request) -> Document:
    """What the client asks for. Raises HttpRefused."""
    if request.method == "GET":
        return _checked(_from_address(request))
    _check_media_type(request)
    return _checked(_parsed(await _body(request)))


def _check_media_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise HttpRefused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "Send the operation as application/json.",
            headers={"Accept-Post": "application/json"},
        )


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_WITHIN):
            return await _read(request)
    except TimeoutError:
        raise HttpRefused(
            HTTPStatus.REQUEST_TIMEOUT, "The body did not come in time.", headers={"Connection": "close"}
        ) from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise HttpRefused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"A request has at most {LARGEST_BODY // 1024} kB.",
                # What is left of the body is not read, so the connection cannot be used again.
                headers={"Connection": "close"},
            )
    return bytes(body)


def _from_address(request: Request) -> dict[str, Any]:
    given: dict[str, Any] = dict(request.query_params)
    return {name: _parsed(value) if name in {"variables", "extensions"} else value for name, value in given.items()}


def _parsed(text: str | bytes) -> Any:  # noqa: ANN401  # JSON may be anything
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "This is not JSON.") from None


def _checked(given: object) -> Document:
    if isinstance(given, list):
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "One operation in one request: batching is off.")
    if not isinstance(given, dict):
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "A request is a JSON object with a query.")
    query = given.get("query") or reference_in(given)
    if not isinstance(query, str) or not query.strip():
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "There is no query in this request.")
    return Document(
        query,
        _of_type(given, "variables", dict, "an object"),
        _of_type(given, "operationName", str, "a string") or None,
        _of_type(given, "extensions", dict, "an object"),
    )


def _of_type(given: Mapping[str, Any], name: str, wanted: type, called: str) -> Any:  # noqa: ANN401  # of that type
    value = given.get(name)
    if value is not None and not isinstance(value, wanted):
        raise HttpRefused(HTTPStatus.BAD_REQUEST, f"{name} must be {called}.")
    return value

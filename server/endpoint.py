"""GraphQL at one address: over HTTP, over a websocket, and a page for people to try it."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any
from uuid import uuid4

from anyio import CapacityLimiter
from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry import Schema
from strawberry.asgi import GraphQL
from strawberry.http.ides import get_graphql_ide_html
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from runtime.database import Database
from runtime.feed import Feed
from runtime.settings import Settings
from schema.context import Context
from server.auth import Pass, Unauthenticated, authenticate
from server.budgets import RateLimited
from server.documents import Document, HttpRefused, document_of
from server.sockets import INIT_WITHIN, BoundedSocket, Caller, Handler

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Vary": "Accept"}
ALLOWED = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": frozenset({OperationType.QUERY, OperationType.MUTATION}),
}


@dataclass(frozen=True)
class Services:
    """What the operations of this process share."""

    settings: Settings
    database: Database
    feed: Feed
    limiter: CapacityLimiter

    def context(self, shown: Pass, request_id: str) -> Context:
        """A context for one operation."""
        return Context(shown.identity, self.settings, self.database, self.feed, self.limiter, request_id)


class Endpoint(GraphQL[Any, None]):
    """Strawberry's endpoint with our own reading of HTTP, and our own handler for websockets."""

    graphql_transport_ws_handler_class = Handler
    websocket_adapter_class = BoundedSocket

    def __init__(self, schema: Schema, services: Services) -> None:
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_WITHIN,
        )
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one socket."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        request = Request(scope, receive)
        response = await self._answer(request, request_id_of(request))
        await response(scope, receive, send)

    def decode_json(self, data: str | bytes) -> object:
        """Read a message of a socket. What breaks the decoder is no JSON either."""
        try:
            return super().decode_json(data)
        except (ValueError, RecursionError):  # numbers of thousands of digits; lists in lists in lists
            raise JSONDecodeError("This is not JSON", "", 0) from None

    async def get_context(
        self,
        request: Request | WebSocket,  # noqa: ARG002  # the original's signature
        response: Response | WebSocket,  # noqa: ARG002  # the original's signature
    ) -> Caller:
        """For a socket: whoever it will turn out to be. HTTP does not come this way."""
        return Caller(self.services)

    async def _answer(self, request: Request, request_id: str) -> Response:
        headers = {**NO_STORE, "X-Request-ID": request_id}
        if _wants_page(request):
            return HTMLResponse(get_graphql_ide_html(), headers=headers)
        try:
            result = await self._execute(request, request_id)
        except Unauthenticated as refusal:
            challenge = {"WWW-Authenticate": 'Bearer realm="tenantry"'}
            return _refusal(HTTPStatus.UNAUTHORIZED, str(refusal), "UNAUTHENTICATED", {**headers, **challenge})
        except HttpRefused as refusal:
            return _refusal(refusal.status, str(refusal), refusal.code, {**headers, **refusal.headers})
        status, more = _status_of(result)
        return _json(status, body_of(result), {**headers, **more})

    async def _execute(self, request: Request, request_id: str) -> ExecutionResult:
        if request.method not in ALLOWED:
            raise _not_allowed("Use POST, or GET for queries.", "GET, POST")
        shown = authenticate(self.services.settings, request.headers.get("authorization"))
        document = await document_of(request)
        return await self._run(document, self.services.context(shown, request_id), request.method)

    async def _run(self, document: Document, context: Context, method: str) -> ExecutionResult:
        try:
            return await self.schema.execute(
                document.query,
                variable_values=document.variables,
                operation_name=document.operation_name,
                operation_extensions=document.extensions,
                context_value=context,
                allowed_operation_types=ALLOWED[method],
            )
        except CannotGetOperationTypeError as error:
            raise HttpRefused(HTTPStatus.BAD_REQUEST, error.as_http_error_reason(), "BAD_USER_INPUT") from None
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                message = "Subscriptions need a websocket with the protocol graphql-transport-ws."
                raise HttpRefused(HTTPStatus.BAD_REQUEST, message) from None
            raise _not_allowed("Mutations need POST.", "POST") from None


def request_id_of(request: Request) -> str:
    """The client's id for this request when it is a sane one, otherwise a new one."""
    given = request.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid4().hex


def body_of(result: ExecutionResult) -> dict[str, Any]:
    """The answer as the protocol spells it."""
    body: dict[str, Any] = {"errors": [error.formatted for error in result.errors]} if result.errors else {}
    return {**body, "data": result.data}


def _status_of(result: ExecutionResult) -> tuple[HTTPStatus, dict[str, str]]:
    """Whoever spends too fast is told in HTTP's own words too."""
    refusal = next((error for error in result.errors or () if isinstance(error, RateLimited)), None)
    if refusal is None:
        return HTTPStatus.OK, {}
    return HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(refusal.retry_after)}


def _not_allowed(message: str, methods: str) -> HttpRefused:
    return HttpRefused(HTTPStatus.METHOD_NOT_ALLOWED, message, headers={"Allow": methods})


def _wants_page(request: Request) -> bool:
    asks = "query" in request.query_params
    return request.method == "GET" and not asks and "text/html" in request.headers.get("accept", "")


def _refusal(status: HTTPStatus, message: str, code: str, headers: Mapping[str, str]) -> Response:
    error = GraphQLError(message, extensions={"code": code, "requestId": headers["X-Request-ID"]})
    return _json(status, {"errors": [error.formatted]}, headers)


def _json(status: HTTPStatus, body: object, headers: Mapping[str, str]) -> Response:
    return Response(json.dumps(body, separators=(",", ":")), status, dict(headers), "application/json")

"""The address ``/graphql``: GraphQL over HTTP and websockets, GraphiQL in a browser."""

import asyncio
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry import Schema
from strawberry.asgi import GraphQL
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from schema.context import Context
from server import web_pages
from server.graphql import responses, strict_json
from server.graphql.error_masking import MUTATION_IN_GET
from server.graphql.request import GraphQLRequest, HttpRefused, graphql_request_of
from server.graphql.websocket import INIT_TIMEOUT, BoundedWebSocket, ConnectionContext, WebSocketHandler
from server.limits.concurrency import ConcurrencyLimitExceeded
from server.limits.rate_limit import RateLimited
from server.request_context import authenticate, headers_of, idempotency_key_of, not_allowed
from server.services import Services

REFUSAL_DELAY = 0.25
"""Seconds before the answer of an operation that exceeds the rate limit: a client that repeats it at once waits here,
and does not take up the process."""

ALLOWED_OPERATIONS = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": frozenset({OperationType.QUERY, OperationType.MUTATION}),
}


class GraphQLEndpoint(GraphQL[Any, None]):
    """Strawberry's endpoint with Tenantry's own HTTP and websocket handling."""

    graphql_transport_ws_handler_class = WebSocketHandler
    websocket_adapter_class = BoundedWebSocket

    def __init__(self, schema: Schema, services: Services) -> None:
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_TIMEOUT,
            allowed_origins=services.settings.allowed_origins,
        )
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one websocket."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    def decode_json(self, data: str | bytes) -> object:
        """Parse a message of a websocket. Treats every error of the decoder as invalid JSON."""
        try:
            return strict_json.loads(data)
        except (ValueError, RecursionError):  # not JSON; numbers of thousands of digits; deeply nested lists
            raise JSONDecodeError("The message is not valid JSON", "", 0) from None

    async def get_context(
        self,
        request: Request | WebSocket,  # noqa: ARG002  # the original's signature
        response: Response | WebSocket,  # noqa: ARG002  # the original's signature
    ) -> ConnectionContext:
        """The context of a new websocket, which is not authenticated yet. HTTP requests do not use it."""
        return ConnectionContext(self.services)

    async def _answer(self, request: Request) -> Response:
        if _wants_graphiql(request):
            return web_pages.page("graphiql.html")
        headers = headers_of(request)
        media_type = responses.JSON  # for a refusal that comes before the media type is negotiated
        try:
            media_type = responses.media_type_of(request)
            auth = await authenticate(request, self.services, ALLOWED_OPERATIONS)
            context = self.services.context(auth, headers["X-Request-ID"])
            context.idempotency_key = idempotency_key_of(request)
            with self.services.requests.slot(context.holder):
                result = await self._execute(await graphql_request_of(request), context, request.method)
                if any(isinstance(error, RateLimited) for error in result.errors or ()):
                    await asyncio.sleep(REFUSAL_DELAY)
        except ConcurrencyLimitExceeded as refusal:
            refused = HttpRefused(HTTPStatus.TOO_MANY_REQUESTS, str(refusal), refusal.code, {"Retry-After": "1"})
            return responses.from_refusal(refused, media_type, headers)
        except HttpRefused as refused:
            return responses.from_refusal(refused, media_type, headers)
        return responses.from_result(result, media_type, context.budget, headers)

    async def _execute(self, request: GraphQLRequest, context: Context, method: str) -> ExecutionResult:
        try:
            return await self.schema.execute(
                request.query,
                variable_values=request.variables,
                operation_name=request.operation_name,
                operation_extensions=request.extensions,
                context_value=context,
                allowed_operation_types=ALLOWED_OPERATIONS[method],
            )
        except CannotGetOperationTypeError as error:
            raise HttpRefused(HTTPStatus.BAD_REQUEST, error.as_http_error_reason(), "BAD_USER_INPUT") from None
        except InvalidOperationTypeError as error:
            if error.operation_type is OperationType.SUBSCRIPTION:
                message = "Subscriptions need a websocket with the protocol graphql-transport-ws, or /graphql/stream."
                raise HttpRefused(HTTPStatus.BAD_REQUEST, message) from None
            raise not_allowed(MUTATION_IN_GET, "POST") from None


def _wants_graphiql(request: Request) -> bool:
    has_query = "query" in request.query_params
    return request.method == "GET" and not has_query and "text/html" in request.headers.get("accept", "")

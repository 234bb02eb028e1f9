"""GraphQL at one address: over HTTP, over a websocket, and a page for people to try it."""

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
from server.graphql import responses
from server.graphql.request import Document, HttpRefused, document_of
from server.graphql.websocket import INIT_WITHIN, BoundedSocket, ConnectionContext, WebSocketHandler
from server.limits.concurrency import ConcurrencyLimit, ConcurrencyLimitExceeded
from server.request_context import caller_of, headers_of, idempotency_key_of, not_allowed
from server.services import Services

ALLOWED = {
    "GET": frozenset({OperationType.QUERY}),
    "POST": frozenset({OperationType.QUERY, OperationType.MUTATION}),
}


class GraphQLEndpoint(GraphQL[Any, None]):
    """Strawberry's endpoint with our own reading of HTTP, and our own handler for websockets."""

    graphql_transport_ws_handler_class = WebSocketHandler
    websocket_adapter_class = BoundedSocket

    def __init__(self, schema: Schema, services: Services) -> None:
        super().__init__(
            schema,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_WITHIN,
            allowed_origins=services.settings.allowed_origins,
        )
        self.services = services
        self._sockets = ConcurrencyLimit(services.settings.sockets_per_address, "sockets open")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one socket."""
        if scope["type"] != "http":
            await self._serve(scope, receive, send)
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = (scope.get("client") or ("",))[0]
        try:
            with self._sockets.slot(address):
                await super().__call__(scope, receive, send)
        except ConcurrencyLimitExceeded as refusal:
            await WebSocket(scope, receive, send).send_denial_response(
                Response(str(refusal), HTTPStatus.TOO_MANY_REQUESTS)
            )

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
    ) -> ConnectionContext:
        """For a socket: whoever it will turn out to be. HTTP does not come this way."""
        return ConnectionContext(self.services)

    async def _answer(self, request: Request) -> Response:
        if _wants_page(request):
            return web_pages.page("graphiql.html")
        headers = headers_of(request)
        media_type = responses.JSON  # of a refusal, until we know what the client takes
        try:
            media_type = responses.media_type_of(request)
            auth = await caller_of(request, self.services, ALLOWED)
            context = self.services.context(auth, headers["X-Request-ID"])
            context.idempotency_key = idempotency_key_of(request)
            result = await self._run(await document_of(request), context, request.method)
        except HttpRefused as refused:
            return responses.refusal(refused, media_type, headers)
        return responses.answer(result, media_type, context.budget, headers)

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
                message = "Subscriptions need a websocket with the protocol graphql-transport-ws, or /graphql/stream."
                raise HttpRefused(HTTPStatus.BAD_REQUEST, message) from None
            raise not_allowed("Mutations need POST.", "POST") from None


def _wants_page(request: Request) -> bool:
    asks = "query" in request.query_params
    return request.method == "GET" and not asks and "text/html" in request.headers.get("accept", "")

"""GraphQL over Server-Sent Events, for clients behind proxies that block websockets.

One operation per connection: the "distinct connections mode" of https://github.com/enisdenjo/graphql-sse,
``PROTOCOL.md``. Each event of a subscription has its cursor as ``id``, so a reconnecting client's ``Last-Event-ID``
resumes after it.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any

from graphql import GraphQLError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry import Schema
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from schema.context import Context
from server.auth.tokens import AuthResult
from server.graphql import responses
from server.graphql.request import GraphQLRequest, HttpRefused, graphql_request_of
from server.graphql.websocket import SEND_TIMEOUT, cancel_until_done
from server.request_context import authenticate, headers_of, idempotency_key_of
from server.services import Services

logger = logging.getLogger(__name__)

KEEP_ALIVE_INTERVAL = 15.0
"""Seconds between two comments, which keep proxies from closing an idle connection."""

ALLOWED_OPERATIONS = {
    "GET": frozenset({OperationType.QUERY, OperationType.SUBSCRIPTION}),
    "POST": frozenset(OperationType),
}


class SseEndpoint:
    """The address ``/graphql/stream``."""

    def __init__(self, schema: Schema, services: Services) -> None:
        self._schema = schema
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with a stream of events, or refuse it."""
        request = Request(scope, receive)
        headers = headers_of(request)
        try:
            response = await self._answer(request, headers)
        except HttpRefused as refused:
            response = responses.from_refusal(refused, responses.JSON, headers)
        await response(scope, receive, send)

    async def _answer(self, request: Request, headers: dict[str, str]) -> Response:
        responses.negotiate([responses.EVENT_STREAM], request.headers.get("accept", "*/*"))
        auth = await authenticate(request, self._services, ALLOWED_OPERATIONS)
        graphql_request = await graphql_request_of(request)
        context = self._services.context(auth, headers["X-Request-ID"])
        context.idempotency_key = idempotency_key_of(request)
        context.resume_after = request.headers.get("last-event-id") or None
        events = self._events(graphql_request, context, request.method)
        return EventStream(events, auth, self._services, headers)

    async def _events(self, request: GraphQLRequest, context: Context, method: str) -> AsyncGenerator[bytes, None]:
        try:
            with self._services.operations.slot(context.holder):
                async with aclosing(await self._results(request, context, method)) as results:
                    async for result in results:
                        yield event("next", result_of(result), context.cursor)
        except GraphQLError as refusal:  # raised by an extension: there is no result that carries it
            yield event("next", {"errors": [refusal.formatted]})
        yield event("complete")

    async def _results(self, request: GraphQLRequest, context: Context, method: str) -> AsyncGenerator[Any, None]:
        return await self._schema.stream(
            request.query,
            variable_values=request.variables,
            operation_name=request.operation_name,
            operation_extensions=request.extensions,
            context_value=context,
            allowed_operation_types=ALLOWED_OPERATIONS[method],
        )


class EventStream(Response):
    """Sends events until they end, the client disconnects, its session ends, or the process stops."""

    media_type = responses.EVENT_STREAM

    def __init__(
        self, events: AsyncGenerator[bytes, None], auth: AuthResult, services: Services, headers: dict[str, str]
    ) -> None:
        super().__init__(None, HTTPStatus.OK, {**headers, "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._auth = auth
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Send the events, without buffering for a client that reads slowly."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        ends: list[Coroutine[Any, Any, object]] = [
            self._send_events(send),
            _keep_alive(send),
            client_disconnected(receive),
            self._services.stopping.wait(),
            self._services.authenticator.wait_for_session_end(self._auth),
        ]
        tasks = [asyncio.create_task(end) for end in ends]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                cancel_until_done(task)
            sent, *_ = await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(sent, Exception) and not isinstance(sent, TimeoutError | OSError):
                logger.error("event stream failed", exc_info=sent)
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_events(self, send: Send) -> None:
        async with aclosing(self._events):
            async for chunk in self._events:
                await send_chunk(send, chunk)


def event(name: str, data: object = None, id: str | None = None) -> bytes:
    """Encode one event. Its lines end with LF only."""
    lines = [f"event: {name}", *([f"id: {id}"] if id else []), f"data: {'' if data is None else json.dumps(data)}"]
    return "\n".join([*lines, "\n"]).encode()


def result_of(result: object) -> dict[str, Any]:
    """A result of an operation, in the form of an HTTP response's body."""
    assert isinstance(result, ExecutionResult), "incremental delivery is not supported"
    return responses.body_of(result)


async def _keep_alive(send: Send) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE_INTERVAL)
        await send_chunk(send, b":\n\n")


async def send_chunk(send: Send, chunk: bytes) -> None:
    """Send a part of the body. Raises TimeoutError if the client does not read it."""
    async with asyncio.timeout(SEND_TIMEOUT):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def client_disconnected(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass

"""GraphQL over Server-Sent Events, for those whom a proxy denies websockets.

One operation on each connection: the "distinct connections mode" of https://github.com/enisdenjo/graphql-sse,
``PROTOCOL.md``. Each event of a subscription carries its cursor as ``id``, so that ``Last-Event-ID`` goes on after it.
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
from server.graphql.request import Document, HttpRefused, document_of
from server.graphql.websocket import SEND_WITHIN, cancel_until_it_ends
from server.request_context import caller_of, headers_of, idempotency_key_of
from server.services import Services

logger = logging.getLogger(__name__)

KEEP_ALIVE_EVERY = 15.0
"""Seconds between two comments, which tell proxies that the connection is not dead."""

ALLOWED = {
    "GET": frozenset({OperationType.QUERY, OperationType.SUBSCRIPTION}),
    "POST": frozenset(OperationType),
}


class SseEndpoint:
    """The address for streams."""

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
            response = responses.refusal(refused, responses.JSON, headers)
        await response(scope, receive, send)

    async def _answer(self, request: Request, headers: dict[str, str]) -> Response:
        responses.preferred([responses.STREAM], request.headers.get("accept", "*/*"))
        auth = await caller_of(request, self._services, ALLOWED)
        document = await document_of(request)
        context = self._services.context(auth, headers["X-Request-ID"])
        context.idempotency_key = idempotency_key_of(request)
        context.resume_after = request.headers.get("last-event-id") or None
        events = self._events(document, context, request.method)
        return EventStream(events, auth, self._services, headers)

    async def _events(self, document: Document, context: Context, method: str) -> AsyncGenerator[bytes, None]:
        try:
            with self._services.subscriptions.slot(context.actor.id):
                async with aclosing(await self._results(document, context, method)) as results:
                    async for result in results:
                        yield event("next", result_of(result), context.cursor)
        except GraphQLError as refusal:  # of an extension, before there was a result to carry it
            yield event("next", {"errors": [refusal.formatted]})
        yield event("complete")

    async def _results(self, document: Document, context: Context, method: str) -> AsyncGenerator[Any, None]:
        return await self._schema.stream(
            document.query,
            variable_values=document.variables,
            operation_name=document.operation_name,
            operation_extensions=document.extensions,
            context_value=context,
            allowed_operation_types=ALLOWED[method],
        )


class EventStream(Response):
    """Events until they end, the client leaves, its pass runs out, or the process stops."""

    media_type = responses.STREAM

    def __init__(
        self, events: AsyncGenerator[bytes, None], auth: AuthResult, services: Services, headers: dict[str, str]
    ) -> None:
        super().__init__(None, HTTPStatus.OK, {**headers, "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._auth = auth
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Send them; nothing is kept for a client that reads slowly."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        ends: list[Coroutine[Any, Any, object]] = [
            self._pump(send),
            _keep_alive(send),
            gone(receive),
            self._services.stopping.wait(),
            self._services.authenticator.wait_for_session_end(self._auth),
        ]
        tasks = [asyncio.create_task(end) for end in ends]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                cancel_until_it_ends(task)
            pumped, *_ = await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(pumped, Exception) and not isinstance(pumped, TimeoutError | OSError):
                logger.error("a stream broke off", exc_info=pumped)
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        async with aclosing(self._events):
            async for one in self._events:
                await write(send, one)


def event(kind: str, data: object = None, id: str | None = None) -> bytes:
    """One event as it goes over the wire, its lines ended by LF alone."""
    lines = [f"event: {kind}", *([f"id: {id}"] if id else []), f"data: {'' if data is None else json.dumps(data)}"]
    return "\n".join([*lines, "\n"]).encode()


def result_of(result: object) -> dict[str, Any]:
    """A result of an operation, as an answer over HTTP would spell it."""
    assert isinstance(result, ExecutionResult), "nothing is delivered in increments here"
    return responses.body_of(result)


async def _keep_alive(send: Send) -> None:
    while True:
        await asyncio.sleep(KEEP_ALIVE_EVERY)
        await write(send, b":\n\n")


async def write(send: Send, chunk: bytes) -> None:
    """Send, or give up a client that does not read."""
    async with asyncio.timeout(SEND_WITHIN):
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def gone(receive: Receive) -> None:
    """Wait until the client is."""
    while (await receive())["type"] != "http.disconnect":
        pass

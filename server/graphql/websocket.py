"""GraphQL over websockets (graphql-transport-ws): authentication, limits, a new context for each operation."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import ExitStack, aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from types import MappingProxyType, NoneType
from typing import Any, cast
from uuid import uuid4

from graphql import GraphQLError
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.subscriptions.protocols.graphql_transport_ws.types import (
    ConnectionInitMessage,
    Message,
    SubscribeMessage,
)
from strawberry.types.execution import ExecutionResult

from runtime.request_ids import request_id_in_log
from schema.context import Context
from server.auth.authenticator import AuthenticationUnavailable
from server.auth.tokens import AuthResult, Unauthenticated
from server.graphql.error_masking import INTERNAL_ERROR_MESSAGE, INTERNAL_SERVER_ERROR
from server.graphql.responses import MAX_ERRORS
from server.graphql.trusted_documents import reference_in
from server.limits.concurrency import ConcurrencyLimitExceeded
from server.request_context import log_facts_of
from server.services import Services

logger = logging.getLogger(__name__)

INIT_TIMEOUT = timedelta(seconds=3)
SEND_TIMEOUT = 20.0
"""Seconds: a peer that does not read for this time is treated as disconnected."""

MAX_OPERATIONS = 100
"""The most operations that run at once on one websocket."""

MAX_MESSAGES_PER_TURN = 8
"""The most messages of one websocket that are handled before other tasks run. With one per turn a flood of messages
would take longer, and more of its operations would start meanwhile."""

MAX_STARTS = 2
START_INTERVAL = 0.02
"""Seconds. One caller may start ``MAX_STARTS`` operations in each interval. The other operations wait; a waiting
operation that is cancelled costs nothing."""

MAX_REFUSALS = 20
"""The websocket is closed after this many refused operations in a row, if no operation completes between them."""

CANCEL_RETRY_INTERVAL = 0.5
"""Seconds between two tries to cancel an operation: longer than an operation takes to clean up."""

UNAUTHORIZED = 4401
TRY_AGAIN_LATER = 1013
TOO_MANY_REQUESTS = 4429

STRANGERS_MESSAGE = "Too many connections from your address have sent no token: send connection_init at once."

MAX_REASON_BYTES = 123
"""Bytes of the longest reason that a close frame can carry (RFC 6455, section 5.5.1)."""

SUBSCRIBE_FIELDS: Mapping[str, tuple[tuple[type, ...], str]] = MappingProxyType(
    {
        "query": ((str,), "a string"),
        "variables": ((dict, NoneType), "an object"),
        "operationName": ((str, NoneType), "a string"),
        "extensions": ((dict, NoneType), "an object"),
    }
)
"""The types of the fields of a subscribe message's payload."""


@dataclass
class ConnectionContext:
    """The context of one websocket. ``auth`` is None until ``connection_init`` was authenticated."""

    services: Services
    connection_params: dict[str, object] = field(default_factory=dict)
    auth: AuthResult | None = None


class BoundedWebSocket(ASGIWebSocketAdapter):
    """A websocket that treats a peer which does not read as disconnected."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message. Raises WebSocketDisconnected, also after the timeout."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT):
                await super().send_json(message)
        except (TimeoutError, RuntimeError) as error:  # Starlette raises RuntimeError for a closed websocket
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close with the reason, cut to the protocol's limit: it may quote the client's input."""
        await super().close(code, reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore"))


class WebSocketHandler(BaseGraphQLTransportWSHandler[ConnectionContext, None]):
    """Strawberry's handler with authentication, limits and a new context for each operation."""

    _session_task: asyncio.Task[None] | None = None
    _closing_task: asyncio.Task[None] | None = None
    _refusals = 0
    _messages_this_turn = 0

    @cached_property
    def _starts(self) -> asyncio.Semaphore:
        """The semaphore that all websockets of the caller share."""
        assert self.context.auth is not None, "operations start after the acknowledgement"
        caller_id = self.context.auth.identity.actor.id
        return self.context.services.starts.setdefault(caller_id, asyncio.Semaphore(MAX_STARTS))

    @cached_property
    def _slot(self) -> ExitStack:
        """The slot of the caller's limit, which is free again when the websocket is closed."""
        return ExitStack()

    @cached_property
    def _address(self) -> str:
        """The address of the client, as a trusted proxy reported it."""
        client = cast("BoundedWebSocket", self.websocket).ws.client
        return client.host if client else ""

    def on_request_accepted(self) -> None:
        """Count the websocket as a stranger's, until its client sends a token."""
        super().on_request_accepted()
        self.context.services.sockets.add_stranger(self._address, self, self._close_for_a_newer_one)

    def _close_for_a_newer_one(self) -> None:
        self._closing_task = asyncio.create_task(self.websocket.close(TRY_AGAIN_LATER, STRANGERS_MESSAGE))

    async def handle_message(self, message: object) -> None:
        """Refuse an invalid message, on which Strawberry's handler would fail."""
        self._messages_this_turn = (self._messages_this_turn + 1) % MAX_MESSAGES_PER_TURN
        if not self._messages_this_turn:
            await asyncio.sleep(0)
        _insert_reference(message)
        violation = _protocol_violation(message)
        if violation is not None:
            await self.handle_invalid_message(violation)
            return
        await super().handle_message(cast("Message", message))

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Authenticate, then acknowledge."""
        if self.connection_init_received:
            await super().handle_connection_init(message)  # which refuses a second one
            return
        self.context.services.sockets.remove_stranger(self._address, self)
        payload = message.get("payload") or {}
        if self.connection_init_timeout_task is not None:
            self.connection_init_timeout_task.cancel()  # the message was received; authentication may take longer
        try:
            self.context.auth = await self.context.services.authenticator.authenticate(
                _text_in(payload, "authorization"), _text_in(payload, "organization")
            )
        except AuthenticationUnavailable as refusal:
            await self.websocket.close(TRY_AGAIN_LATER, str(refusal))
            return
        except Unauthenticated as refusal:
            await self.websocket.close(UNAUTHORIZED, str(refusal))
            return
        try:
            self._slot.enter_context(self.context.services.sockets.of_caller(self.context.auth.identity.actor.holder))
        except ConcurrencyLimitExceeded as refusal:
            await self.websocket.close(TOO_MANY_REQUESTS, str(refusal))
            return
        self._session_task = asyncio.create_task(self._close_at_session_end(self.context.auth))
        await super().handle_connection_init(cast("ConnectionInitMessage", {**message, "payload": payload}))

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Start an operation, or refuse it with a code when the websocket has too many."""
        if len(self.operations) >= MAX_OPERATIONS and message["id"] not in self.operations:
            refusal = ConcurrencyLimitExceeded(
                f"Too many operations on this connection ({MAX_OPERATIONS}): complete some before starting more."
            )
            await self.send_message({"id": message["id"], "type": "error", "payload": [refusal.formatted]})
            await self._count_refusal()
            return
        await super().handle_subscribe(message)

    async def _count_refusal(self) -> None:
        """Close the websocket of a client that keeps starting operations although they are refused."""
        self._refusals += 1
        if self._refusals == MAX_REFUSALS:
            await self.websocket.close(
                TOO_MANY_REQUESTS, f"{MAX_REFUSALS} operations were refused: complete some before starting more."
            )

    async def run_operation(self, operation: Operation[ConnectionContext, None]) -> None:
        """Run one operation to its end, or refuse it when its caller has too many on all connections together."""
        assert self.context.auth is not None, "operations start after the acknowledgement"
        request_id = uuid4().hex
        with request_id_in_log(request_id), _logged(self.context.auth), suppress(WebSocketDisconnected):
            try:
                with self.context.services.operations.slot(self.context.auth.identity.actor.holder):
                    await self._starts.acquire()
                    asyncio.get_running_loop().call_later(START_INTERVAL, self._starts.release)
                    await self._run(operation, self.context.services.context(self.context.auth, request_id))
                self._refusals = 0  # an operation has completed, so another one can start
            except ConcurrencyLimitExceeded as refusal:
                await operation.send_initial_errors([refusal])
                await self._count_refusal()
            except GraphQLError as refusal:  # raised by an extension: there is no result that carries it
                await operation.send_initial_errors([refusal])
            except WebSocketDisconnected:
                raise
            except Exception:  # an internal error: log it, then send the error, which frees the operation's id
                logger.exception("websocket operation failed", extra={"request_id": request_id})
                await operation.send_initial_errors([_internal_error(request_id)])

    async def _run(self, operation: Operation[ConnectionContext, None], context: Context) -> None:
        results = await self.schema.stream(
            operation.query,
            variable_values=operation.variables,
            operation_name=operation.operation_name or None,
            context_value=context,
        )
        async with aclosing(results):
            await self._send_result_stream(operation, _limit_errors(results))
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def cleanup_operation(self, operation_id: str) -> None:
        """End one operation. Strawberry's handler cancels once, and would wait forever if that is swallowed."""
        operation = self.operations.pop(operation_id, None)
        if operation is not None and operation.task is not None:
            operation.completed = True  # send nothing more: the client may reuse the id before the task has ended
            cancel_until_done(operation.task)

    async def shutdown(self) -> None:
        """Cancel all tasks of the connection, and stop counting it."""
        self.context.services.sockets.remove_stranger(self._address, self)
        self._slot.close()
        if self._session_task is not None:
            self._session_task.cancel()
        await super().shutdown()

    async def _close_at_session_end(self, auth: AuthResult) -> None:
        """Close the websocket when the caller's token expires or the caller's rights change."""
        end = await self.context.services.authenticator.wait_for_session_end(auth)
        await self.websocket.close(end.code, end.reason)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:  # noqa: ARG004  # the original's signature
        """None: an invalid document ends its own operation, not the connection."""
        return None


@contextmanager
def _logged(auth: AuthResult) -> Iterator[None]:
    """Write one log line for the operation of the block, when it has ended."""
    began = time.monotonic()
    try:
        yield
    finally:
        actor = auth.identity.actor
        facts = {"ms": round((time.monotonic() - began) * 1000, 1), **log_facts_of(actor)}
        logger.info("websocket operation ended", extra=facts)


async def _limit_errors(results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """Cut each result's errors to the number that an HTTP response lists."""
    async for result in results:
        if isinstance(result, ExecutionResult) and result.errors:
            result.errors = result.errors[:MAX_ERRORS]
        yield result


def _internal_error(request_id: str) -> GraphQLError:
    extensions = {"code": INTERNAL_SERVER_ERROR, "requestId": request_id}
    return GraphQLError(INTERNAL_ERROR_MESSAGE, extensions=extensions)


def cancel_until_done(task: asyncio.Task[Any]) -> None:
    """Cancel a task at intervals until it is done.

    Before Python 3.12 a cancellation is swallowed when an ``asyncio.wait_for`` completes at the same moment
    (bpo-37658); redis-py has one around each write.
    """
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_later(CANCEL_RETRY_INTERVAL, cancel_until_done, task)


def _insert_reference(message: object) -> None:
    """Set a missing query to the reference to the trusted document that the message names by hash."""
    payload = message.get("payload") if isinstance(message, dict) else None
    if isinstance(payload, dict) and (reference := reference_in(payload)):
        payload["query"] = reference


def _protocol_violation(message: object) -> str | None:
    """How a message violates the protocol, where Strawberry's handler would fail or not notice."""
    if not isinstance(message, dict):
        return "A message must be a JSON object"
    type_, id_ = message.get("type"), message.get("id")
    if type_ in ("subscribe", "complete") and not (isinstance(id_, str) and id_):
        return "An id must be a non-empty string"
    if type_ == "subscribe":
        return _subscribe_violation(message.get("payload"))
    return None if isinstance(message.get("payload"), dict | NoneType) else "A payload must be an object"


def _subscribe_violation(payload: object) -> str | None:
    if not isinstance(payload, dict):
        return "The payload of subscribe must be an object"
    wrong = (name for name, (types, _) in SUBSCRIBE_FIELDS.items() if not isinstance(payload.get(name), types))
    return next((f"{name} must be {SUBSCRIBE_FIELDS[name][1]}" for name in wrong), None)


def _text_in(payload: object, lower_name: str) -> str | None:
    """The first string under this name, compared without case."""
    if not isinstance(payload, Mapping):
        return None
    values = (value for name, value in payload.items() if str(name).lower() == lower_name)
    found = next(values, None)
    return found if isinstance(found, str) else None

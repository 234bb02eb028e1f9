"""GraphQL over a websocket: who is at the other end, for how long, and a fresh context for each operation."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
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

from schema.context import Context
from server.auth.authenticator import AuthenticationUnavailable
from server.auth.tokens import AuthResult, Unauthenticated
from server.graphql.error_masking import INTERNAL, SOMETHING_WRONG
from server.graphql.responses import MOST_ERRORS
from server.graphql.trusted_documents import reference_in
from server.limits.concurrency import ConcurrencyLimitExceeded
from server.services import Services

logger = logging.getLogger(__name__)

INIT_WITHIN = timedelta(seconds=3)
SEND_WITHIN = 20.0
"""Seconds: a peer that does not read for so long is gone."""

MOST_OPERATIONS = 100
"""Under way on one socket."""

MOST_IN_A_ROW = 8
"""Messages of one socket that are answered before it is others' turn. One at a time, a flood lasts, and whatever of it
can begin does so meanwhile."""

MOST_BEGINNING = 2
BEGUN_AFTER = 0.02
"""So many operations of one caller may begin in so many seconds; the others wait, and cost nothing when they go."""

MOST_REFUSED = 20
"""Without one that comes to its end, until the socket is closed: who asks on does not listen."""

CANCEL_AGAIN_AFTER = 0.5
"""Seconds: nothing that an operation does on its way out takes so long."""

UNAUTHORIZED = 4401
TRY_AGAIN = 1013
TOO_MANY_REQUESTS = 4429

LONGEST_REASON = 123
"""Bytes (RFC 6455, section 5.5.1)."""

SHAPES: Mapping[str, tuple[tuple[type, ...], str]] = MappingProxyType(
    {
        "query": ((str,), "a string"),
        "variables": ((dict, NoneType), "an object"),
        "operationName": ((str, NoneType), "a string"),
        "extensions": ((dict, NoneType), "an object"),
    }
)
"""What a subscribe message carries."""


@dataclass
class ConnectionContext:
    """The other end of a socket; known once it has said who it is."""

    services: Services
    connection_params: dict[str, object] = field(default_factory=dict)
    auth: AuthResult | None = None


class BoundedSocket(ASGIWebSocketAdapter):
    """A socket whose peer has to read."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send, or give the peer up."""
        try:
            async with asyncio.timeout(SEND_WITHIN):
                await super().send_json(message)
        except (TimeoutError, RuntimeError) as error:  # starlette's word for a socket that is closed already
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        """Close, with as much of the reason as the protocol has room for; some of it may be the client's own input."""
        await super().close(code, reason.encode(errors="replace")[:LONGEST_REASON].decode(errors="ignore"))


class WebSocketHandler(BaseGraphQLTransportWSHandler[ConnectionContext, None]):
    """Strawberry's handler, with identities, and with a context of its own for each operation."""

    _session_watch: asyncio.Task[None] | None = None
    _refused = 0
    _in_a_row = 0

    @cached_property
    def _beginning(self) -> asyncio.Semaphore:
        """The caller's: on however many sockets it comes."""
        assert self.context.auth is not None, "operations come after the acknowledgement"
        caller_id = self.context.auth.identity.actor.id
        return self.context.services.beginnings.setdefault(caller_id, asyncio.Semaphore(MOST_BEGINNING))

    async def handle_message(self, message: object) -> None:
        """Refuse what is no message at all; the original would break."""
        self._in_a_row = (self._in_a_row + 1) % MOST_IN_A_ROW
        if not self._in_a_row:
            await asyncio.sleep(0)
        _name_document(message)
        objection = _objection(message)
        if objection is not None:
            await self.handle_invalid_message(objection)
            return
        await super().handle_message(cast("Message", message))

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        """Learn who it is before acknowledging."""
        if self.connection_init_received:
            await super().handle_connection_init(message)  # which refuses a second one
            return
        payload = message.get("payload") or {}
        if self.connection_init_timeout_task is not None:
            self.connection_init_timeout_task.cancel()  # it came; finding out who it is may take its time
        try:
            self.context.auth = await self.context.services.authenticator.authenticate(
                _text_in(payload, "authorization"), _text_in(payload, "organization")
            )
        except AuthenticationUnavailable as refusal:
            await self.websocket.close(TRY_AGAIN, str(refusal))
            return
        except Unauthenticated as refusal:
            await self.websocket.close(UNAUTHORIZED, str(refusal))
            return
        self._session_watch = asyncio.create_task(self._close_at_session_end(self.context.auth))
        await super().handle_connection_init(cast("ConnectionInitMessage", {**message, "payload": payload}))

    async def handle_subscribe(self, message: SubscribeMessage) -> None:
        """Begin an operation, unless there are enough; the original's refusal has no code."""
        if len(self.operations) >= MOST_OPERATIONS and message["id"] not in self.operations:
            refusal = ConcurrencyLimitExceeded(
                f"{MOST_OPERATIONS} operations are under way on this socket: end one first."
            )
            await self.send_message({"id": message["id"], "type": "error", "payload": [refusal.formatted]})
            await self._count_refusal()
            return
        await super().handle_subscribe(message)

    async def _count_refusal(self) -> None:
        """Close the socket of somebody who asks on, however often it was refused."""
        self._refused += 1
        if self._refused == MOST_REFUSED:
            await self.websocket.close(TOO_MANY_REQUESTS, "You do not listen: end operations first.")

    async def run_operation(self, operation: Operation[ConnectionContext, None]) -> None:
        """Run one operation to its end, unless its caller has enough of them under way on other sockets too."""
        assert self.context.auth is not None, "operations come after the acknowledgement"
        request_id = uuid4().hex
        with suppress(WebSocketDisconnected):
            try:
                with self.context.services.subscriptions.slot(self.context.auth.identity.actor.id):
                    await self._beginning.acquire()
                    asyncio.get_running_loop().call_later(BEGUN_AFTER, self._beginning.release)
                    await self._run(operation, self.context.services.context(self.context.auth, request_id))
                self._refused = 0  # one has come to its end, so there is room again
            except ConcurrencyLimitExceeded as refusal:
                await operation.send_initial_errors([refusal])
                await self._count_refusal()
            except GraphQLError as refusal:  # of an extension, before there was a result to carry it
                await operation.send_initial_errors([refusal])
            except WebSocketDisconnected:
                raise
            except Exception:  # of ours: it may not leave the id taken, nor go unheard
                logger.exception("an operation of a socket broke off", extra={"request_id": request_id})
                await operation.send_initial_errors([_broken_off(request_id)])

    async def _run(self, operation: Operation[ConnectionContext, None], context: Context) -> None:
        """With a context that has read nothing yet."""
        results = await self.schema.stream(
            operation.query,
            variable_values=operation.variables,
            operation_name=operation.operation_name or None,
            context_value=context,
        )
        async with aclosing(results):
            await self._send_result_stream(operation, _brief(results))
        await operation.send_operation_message({"id": operation.id, "type": "complete"})

    async def cleanup_operation(self, operation_id: str) -> None:
        """End one operation; the original cancels once and would wait for ever for one that did not hear it."""
        operation = self.operations.pop(operation_id, None)
        if operation is not None and operation.task is not None:
            operation.completed = True  # until it has ended its id may be another's: it says nothing more
            cancel_until_it_ends(operation.task)

    async def shutdown(self) -> None:
        """Release everything."""
        if self._session_watch is not None:
            self._session_watch.cancel()
        await super().shutdown()

    async def _close_at_session_end(self, auth: AuthResult) -> None:
        """Close as soon as the caller's token, or whatever it stands for, is not what it was."""
        end = await self.context.services.authenticator.wait_for_session_end(auth)
        await self.websocket.close(end.code, end.reason)

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:  # noqa: ARG004  # the original's signature
        """A document that does not parse ends its own operation, not everybody's connection."""
        return None


async def _brief(results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The results, each with no more errors than an answer over HTTP lists."""
    async for result in results:
        if isinstance(result, ExecutionResult) and result.errors:
            result.errors = result.errors[:MOST_ERRORS]
        yield result


def _broken_off(request_id: str) -> GraphQLError:
    return GraphQLError(SOMETHING_WRONG, extensions={"code": INTERNAL, "requestId": request_id})


def cancel_until_it_ends(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and again every now and then.

    Before Python 3.12 a cancellation that meets the end of an ``asyncio.wait_for``, as redis-py has one around each
    write, is swallowed (bpo-37658), and the task goes on.
    """
    if not task.done():
        task.cancel()
        asyncio.get_running_loop().call_later(CANCEL_AGAIN_AFTER, cancel_until_it_ends, task)


def _name_document(message: object) -> None:
    """Put a text that names the document into the place of one that is not sent."""
    payload = message.get("payload") if isinstance(message, dict) else None
    if isinstance(payload, dict) and (reference := reference_in(payload)):
        payload["query"] = reference


def _objection(message: object) -> str | None:
    """Why this is no message of the protocol, as far as the original would break on it or not notice."""
    if not isinstance(message, dict):
        return "A message is a JSON object"
    kind, name = message.get("type"), message.get("id")
    if kind in ("subscribe", "complete") and not (isinstance(name, str) and name):
        return "An id is a string that is not empty"
    if kind == "subscribe":
        return _objection_to(message.get("payload"))
    return None if isinstance(message.get("payload"), dict | NoneType) else "A payload is an object"


def _objection_to(payload: object) -> str | None:
    if not isinstance(payload, dict):
        return "The payload of subscribe is an object"
    wrong = (name for name, (types, _) in SHAPES.items() if not isinstance(payload.get(name), types))
    return next((f"{name} must be {SHAPES[name][1]}" for name in wrong), None)


def _text_in(payload: object, wanted: str) -> str | None:
    """A text by its name, compared without case."""
    if not isinstance(payload, Mapping):
        return None
    values = (value for name, value in payload.items() if str(name).lower() == wanted)
    found = next(values, None)
    return found if isinstance(found, str) else None

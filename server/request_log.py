"""Middleware around the application: the id of each request, its one line in the log, and its failure as JSON."""

import logging
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.request_ids import request_id_in_log
from server.graphql.request import HttpRefused
from server.http_errors import INTERNAL_ERROR, NOTHING_HERE, WEBSOCKET_REFUSED, response_to
from server.request_context import log_facts_of, request_id_of

logger = logging.getLogger(__name__)

MAX_PATH_LENGTH = 200


class RequestLog:
    """Every request leaves exactly one line, also one that fails or that its client has left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(HTTPConnection(scope))
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = Exchange(scope, receive, send, request_id)
        with request_id_in_log(request_id):
            try:
                await self._app(scope, receive, exchange.send_with_id)
            except ClientDisconnect:
                pass  # the client went away before it had sent its whole body
            except Exception:
                logger.exception("request failed")
                if exchange.status is not None:
                    raise  # so that the client notices an incomplete response
                await exchange.refuse(INTERNAL_ERROR)
            finally:
                exchange.log()


@dataclass
class Exchange:
    """One request and what was answered. ``status`` is None before the response has begun."""

    scope: Scope
    receive: Receive
    send: Send
    request_id: str
    status: int | None = None
    began: float = field(default_factory=time.monotonic)

    async def send_with_id(self, message: Message) -> None:
        """Send a message of the application, with the request's id in the headers of the response."""
        if message["type"] == "websocket.close" and self.status is None:
            await self.refuse(WEBSOCKET_REFUSED if "endpoint" in self.scope else NOTHING_HERE)
            return
        if message["type"] in {"http.response.start", "websocket.http.response.start", "websocket.accept"}:
            self.status = message.get("status", HTTPStatus.SWITCHING_PROTOCOLS)
            message = {**message, "headers": list(message.get("headers", ()))}
            MutableHeaders(scope=message).setdefault("X-Request-ID", self.request_id)
        await self.send(message)

    async def refuse(self, refused: HttpRefused) -> None:
        """Answer with an error of the server itself."""
        await response_to(refused, self.request_id)(self.scope, self.receive, self.send_with_id)

    def log(self) -> None:
        """Write the line. Values that the client chose contain no blank, so that they cannot look like other fields."""
        logger.info("request answered", extra=self._facts())

    def _facts(self) -> dict[str, Any]:
        path = bytes(self.scope.get("raw_path") or self.scope["path"].encode())
        facts = {
            "request_id": self.request_id,
            "method": self.scope.get("method", "WEBSOCKET"),
            # Without the query string, which may contain values of a document.
            "path": path.partition(b"?")[0].decode("ascii", "backslashreplace")[:MAX_PATH_LENGTH],
            "status": int(self.status) if self.status is not None else "none",
            "ms": round((time.monotonic() - self.began) * 1000, 1),
        }
        actor = self.scope["state"].get("caller")
        return {**facts, **(log_facts_of(actor) if actor else {})}

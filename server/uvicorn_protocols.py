"""Uvicorn's protocols with timeouts and limits against slow or hostile peers."""

import asyncio
import logging
import socket
from http import HTTPStatus
from typing import cast
from uuid import uuid4

import h11
from starlette.requests import HTTPConnection
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response

from server.graphql.request import HttpRefused
from server.http_errors import NO_SUCH_VERSION, NO_TARGET, NOT_HTTP, response_to
from server.limits.connections import LimitedConfig
from server.request_context import request_id_of

logger = logging.getLogger(__name__)

REQUEST_HEAD_TIMEOUT = 10.0
"""Seconds from a new connection, or from a request's first byte, until the request's head is complete."""

WRITE_TIMEOUT = 20.0
"""Seconds in which the peer must read enough for more to be written, or the rest when the connection is closing."""

CLOSE_TIMEOUT = 3.0
"""Seconds in which the peer of a websocket must answer a close frame."""

READ_SIZE = 16 * 1024
"""Bytes read from a websocket before other tasks run: they may contain thousands of small frames."""

RECEIVE_BUFFER_SIZE = 128 * 1024
"""Bytes of a websocket's receive buffer in the kernel. With less, the TCP window closes so often that both sides wait
for timers of 200 ms, and a flood that is refused in 40 ms of work lasts half a second."""

MAX_BYTES_AFTER_CLOSE = 256 * 1024
"""Received after the server has sent a close frame: enough for the rest of a message that is being sent."""

NO_HANDSHAKE = "This is not a valid handshake of a websocket (RFC 6455, section 4.1)."

MAX_FRAGMENTS = 1000
"""Frames of one message: each costs memory, also an empty one."""


class ConnectionTimeout:
    """Aborts a connection unless it is stopped within a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def start(self, transport: asyncio.Transport) -> None:
        """Start the time, unless it is running."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, transport.abort)

    def stop(self) -> None:
        """Keep the connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class StrictConnection(h11.Connection):
    """Refuses requests that h11 accepts. ``refusal`` is the response to what was refused."""

    refusal = NOT_HTTP

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next part of what the peer sent. Raises RemoteProtocolError."""
        event = super().next_event()
        if isinstance(event, h11.Request) and (refusal := _refusal_of(event)):
            self.refusal = refusal
            raise h11.RemoteProtocolError(str(refusal))
        return event


def _refusal_of(request: h11.Request) -> HttpRefused | None:
    """Why the head of a request is refused; None if it is not.

    A proxy may see the end of an ambiguous body in another place: what follows could be taken for a new request.
    """
    if not request.http_version.startswith(b"1."):
        return NO_SUCH_VERSION
    if not request.target.startswith(b"/"):
        return NO_TARGET
    return NOT_HTTP if _end_is_ambiguous(request) else None


def _end_is_ambiguous(request: h11.Request) -> bool:
    """Whether it has both a length and chunks, or chunks in HTTP/1.0, which has none (RFC 9112, section 6.1)."""
    names = {name for name, _ in request.headers}
    return b"transfer-encoding" in names and (b"content-length" in names or request.http_version != b"1.1")


class BoundedHttp(H11Protocol):
    """Adds what uvicorn lacks: timeouts for slow peers, refusals of ambiguous requests, JSON for what is not HTTP."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Start the timeout for the first request's head."""
        self._head_timeout = ConnectionTimeout(REQUEST_HEAD_TIMEOUT)
        self._write_timeout = ConnectionTimeout(WRITE_TIMEOUT)
        self.conn = StrictConnection(h11.SERVER, self.conn._max_incomplete_event_size)  # noqa: SLF001  # as uvicorn chose
        super().connection_made(transport)
        self._head_timeout.start(transport)
        self._limit = cast("LimitedConfig", self.config).connection_limit
        self._limit.opened(self, len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Start the timeout for a head that is incomplete, also for a body that continues after its response."""
        super().data_received(data)
        if self.transport.get_protocol() is not self:  # upgraded to a websocket
            return
        self._limit.set_idle(self, idle=self._is_idle)
        if self._is_idle:
            self._head_timeout.start(self.transport)
        else:
            self._head_timeout.stop()

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]  # None at first

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's text, the same for all
        """Refuse a request that is not valid, and close the connection."""
        request_id, refusal = uuid4().hex, cast("StrictConnection", self.conn).refusal
        response = response_to(refusal, request_id)
        facts = {"request_id": request_id, "method": "none", "status": int(refusal.status)}
        logger.info("request answered", extra=facts)
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:  # otherwise a response has begun
            reason = refusal.status.phrase.encode()
            head = h11.Response(status_code=refusal.status, headers=response.raw_headers, reason=reason)
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def handle_websocket_upgrade(self, event: object) -> None:
        """Stop the timeout: the websocket's protocol takes over the connection."""
        self._head_timeout.stop()
        self._limit.set_idle(self, idle=False)
        super().handle_websocket_upgrade(event)  # type: ignore[arg-type]  # passed on unchanged

    def on_response_complete(self) -> None:
        """If the connection is closing, start the timeout for the part of the response that is still buffered."""
        self._head_timeout.stop()
        super().on_response_complete()
        self._limit.set_idle(self, idle=self._is_idle)  # a request that was sent ahead may have begun
        if self.transport.is_closing():
            self._write_timeout.start(self.transport)

    def timeout_keep_alive_handler(self) -> None:
        """Start the timeout for buffered output when an idle connection is closed."""
        super().timeout_keep_alive_handler()
        self._write_timeout.start(self.transport)

    def pause_writing(self) -> None:
        """Start the timeout: the output buffer is full."""
        super().pause_writing()
        self._write_timeout.start(self.transport)

    def resume_writing(self) -> None:
        """Stop the timeout: the peer has read enough."""
        super().resume_writing()
        self._write_timeout.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both timeouts."""
        self._head_timeout.stop()
        self._limit.set_idle(self, idle=False)
        super().connection_lost(exc)
        self._write_timeout.stop()


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """Adds limits that uvicorn lacks: on buffered pongs, on fragments of a message, on bytes after a close frame."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set the limits of the connection."""
        self._write_timeout = ConnectionTimeout(WRITE_TIMEOUT)
        self.close_timeout = CLOSE_TIMEOUT
        self._bytes_after_close = 0
        if (connection := transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_SIZE)
        transport.max_size = READ_SIZE  # type: ignore[attr-defined]  # of asyncio's own transports, 256 KiB by default
        super().connection_made(transport)

    def handle_connect(self, event: Request) -> None:
        """Begin to serve the websocket, or refuse in JSON what the library would refuse in words of its own."""
        accept = self.conn.accept
        self.conn.accept = lambda request: _in_json(request, accept(request))  # type: ignore[method-assign]  # of this connection
        super().handle_connect(event)

    def data_received(self, data: bytes) -> None:
        """Handle received bytes, or abort when a peer sends too many after a close frame."""
        self._bytes_after_close += len(data) if self.close_sent else 0
        if self._bytes_after_close > MAX_BYTES_AFTER_CLOSE:
            self.transport.abort()
            return
        super().data_received(data)

    def handle_ping(self) -> None:
        """Answer, and stop reading while the output buffer is full."""
        super().handle_ping()
        if not self.writable.is_set():
            self.transport.pause_reading()

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment to the message, or fail the connection when there are too many."""
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
            return
        self.frames = []
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"a message may have at most {MAX_FRAGMENTS} fragments")
        self.handle_parser_exception()

    def pause_writing(self) -> None:
        """Start the timeout: the output buffer is full."""
        super().pause_writing()
        self._write_timeout.start(self.transport)

    def resume_writing(self) -> None:
        """Stop the timeout and read on: the peer has read enough."""
        super().resume_writing()
        self._write_timeout.stop()
        if not self.read_paused:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timeout."""
        super().connection_lost(exc)
        self._write_timeout.stop()


def _in_json(request: Request, handshake: Response) -> Response:
    """The same response, but a refusal as the API's errors are, with its line in the log."""
    if handshake.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
        return handshake
    headers = [(name.lower().encode(), value.encode(errors="replace")) for name, value in request.headers.raw_items()]
    request_id = request_id_of(HTTPConnection({"type": "websocket", "headers": headers}))
    kept = {name: value for name, value in handshake.headers.raw_items() if name in {"Allow", "Connection", "Upgrade"}}
    refusal = response_to(HttpRefused(HTTPStatus(handshake.status_code), NO_HANDSHAKE, headers=kept), request_id)
    facts = {"request_id": request_id, "method": "WEBSOCKET", "status": handshake.status_code}
    logger.info("request answered", extra=facts)
    return Response(
        handshake.status_code, handshake.reason_phrase, Headers(refusal.headers.items()), bytes(refusal.body)
    )

"""Uvicorn's protocols, for peers that take their time: a request has to come, and what is sent has to be read."""

import asyncio
import socket

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

REQUEST_WITHIN = 10.0
"""Seconds from a connection, or from a request's first byte, until its head is complete."""

READ_WITHIN = 20.0
"""Seconds in which a peer has to make room for more, and to take the rest of what was sent when it is closed."""

GOODBYE_WITHIN = 3.0
"""Seconds in which the peer of a socket that we close has to close it too."""

AT_ONCE = 16 * 1024
"""Bytes that are read of a socket before it is anybody else's turn: there may be thousands of small frames in them."""

KEPT_BACK = 128 * 1024
"""Bytes that the system keeps for us of a socket. With less its window closes so often that both sides wait for timers,
200 ms each, and a flood that is refused in 40 ms of work lasts half a second."""

MOST_UNHEARD = 256 * 1024
"""Bytes that may still come once a socket was told that it is closed: the rest of a message that is on its way."""

MOST_FRAGMENTS = 1000
"""Frames of one message: each costs memory, also one that carries nothing."""


class Patience:
    """Ends a connection unless what is awaited happens in time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """From now on, unless it began before."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, transport.abort)

    def end(self) -> None:
        """It has happened."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class BoundedHttp(H11Protocol):
    """Uvicorn gives a peer for ever to send a request's head, to go on with a body after its answer, and to read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Expect a request."""
        self._coming, self._reading = Patience(REQUEST_WITHIN), Patience(READ_WITHIN)
        super().connection_made(transport)
        self._coming.begin(transport)

    def data_received(self, data: bytes) -> None:
        """Expect the rest of a request that has begun; no request is under way when this was its answer's leftover."""
        super().data_received(data)
        if self.transport.get_protocol() is not self:  # it became a websocket
            return
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first, untold
            self._coming.begin(self.transport)
        else:
            self._coming.end()

    def handle_websocket_upgrade(self, event: object) -> None:
        """From here on it is another's connection."""
        self._coming.end()
        super().handle_websocket_upgrade(event)  # type: ignore[arg-type]  # handed on as it came

    def on_response_complete(self) -> None:
        """What lies in our memory of an answer has to be taken, also by a peer that is closed."""
        self._coming.end()
        super().on_response_complete()
        if self.transport.is_closing():
            self._reading.begin(self.transport)

    def timeout_keep_alive_handler(self) -> None:
        """The same when nothing more has come."""
        super().timeout_keep_alive_handler()
        self._reading.begin(self.transport)

    def pause_writing(self) -> None:
        """There is more than the peer takes."""
        super().pause_writing()
        self._reading.begin(self.transport)

    def resume_writing(self) -> None:
        """It took enough."""
        super().resume_writing()
        self._reading.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._coming.end()
        super().connection_lost(exc)
        self._reading.end()


class BoundedSocketProtocol(WebSocketsSansIOProtocol):
    """Uvicorn answers each ping however much waits to be read, and keeps each fragment however little it carries."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing in the way."""
        self._reading = Patience(READ_WITHIN)
        self.close_timeout = GOODBYE_WITHIN
        self._unheard = 0
        if (connection := transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KEPT_BACK)
        transport.max_size = AT_ONCE  # type: ignore[attr-defined]  # of asyncio's own transports, 256 KiB by default
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take frames, a few at once; whoever sends on after the goodbye is not heard for long."""
        self._unheard += len(data) if self.close_sent else 0
        if self._unheard > MOST_UNHEARD:
            self.transport.abort()
            return
        super().data_received(data)

    def handle_ping(self) -> None:
        """Answer, and read on when the peer does."""
        super().handle_ping()
        if not self.writable.is_set():
            self.transport.pause_reading()

    def handle_cont(self, event: Frame) -> None:
        """Take one more fragment, if there are not too many."""
        if len(self.frames) < MOST_FRAGMENTS:
            super().handle_cont(event)
            return
        self.frames = []
        self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
        self.handle_parser_exception()

    def pause_writing(self) -> None:
        """There is more than the peer takes."""
        super().pause_writing()
        self._reading.begin(self.transport)

    def resume_writing(self) -> None:
        """It took enough."""
        super().resume_writing()
        self._reading.end()
        if not self.read_paused:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        super().connection_lost(exc)
        self._reading.end()

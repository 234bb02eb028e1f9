"""A websocket client of the API that resets its connection without closing it."""

import json
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from tests.api import PROTOCOL

TIMEOUT = 20.0
"""Seconds to wait for an answer: twice the longest statement (``statement_timeout``, 10 s)."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: reset the connection instead of closing it."""


class AbruptClient:
    """Connects, and resets the connection at the end of the block, whatever is in progress."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.partition(":")
        self._token = token
        self._socket = socket.create_connection((host, int(port)), timeout=TIMEOUT)
        self._protocol = ClientProtocol(parse_uri(f"ws://{address}/graphql"), subprotocols=[PROTOCOL])

    def __enter__(self) -> Self:
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        self._receive()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._socket.close()

    def authenticate(self) -> None:
        """Send the token and wait for the acknowledgement."""
        self._send(type="connection_init", payload={"Authorization": f"Bearer {self._token}"})
        self._receive()

    def subscribe(self, document: str, **variables: object) -> None:
        """Start a subscription without waiting for an answer."""
        self._send(id=str(len(document)), type="subscribe", payload={"query": document, "variables": variables})

    def receive_first(self) -> None:
        """Wait for the first message, which shows that the subscription runs."""
        self._receive()

    def _send(self, **message: object) -> None:
        self._protocol.send_text(json.dumps(message).encode())
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(b"".join(self._protocol.data_to_send()))

    def _receive(self) -> None:
        while not self._protocol.events_received():
            data = self._socket.recv(65536)
            assert data, "V13: the API closed the connection"
            self._protocol.receive_data(data)

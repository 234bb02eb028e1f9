"""A peer of the API's websockets who leaves without a word."""

import json
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from tests.api import PROTOCOL

PATIENCE = 20.0
"""Seconds that a peer waits for an answer: that of the longest statement (``statement_timeout``, 10 s), twice."""

AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER: reset the connection instead of closing it."""


class Visitor:
    """Connects, and is torn away at the end of the block, whatever was going on."""

    def __init__(self, address: str, token: str) -> None:
        host, _, port = address.partition(":")
        self._token = token
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self._protocol = ClientProtocol(parse_uri(f"ws://{address}/graphql"), subprotocols=[PROTOCOL])

    def __enter__(self) -> Self:
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        self._receive()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self._socket.close()

    def say_who(self) -> None:
        """Be acknowledged."""
        self._say(type="connection_init", payload={"Authorization": f"Bearer {self._token}"})
        self._receive()

    def subscribe(self, document: str, **variables: object) -> None:
        """Ask for a subscription, and wait for nothing."""
        self._say(id=str(len(document)), type="subscribe", payload={"query": document, "variables": variables})

    def hear(self) -> None:
        """Wait for the first word: what was asked for is under way then."""
        self._receive()

    def _say(self, **message: object) -> None:
        self._protocol.send_text(json.dumps(message).encode())
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(b"".join(self._protocol.data_to_send()))

    def _receive(self) -> None:
        while not self._protocol.events_received():
            data = self._socket.recv(65536)
            assert data, "V13: the API hung up"
            self._protocol.receive_data(data)

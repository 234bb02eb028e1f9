"""A client of the public API: POST for operations, a websocket for subscriptions."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from devserver.errors import DevserverError

PROTOCOL = Subprotocol("graphql-transport-ws")
SUBSCRIPTION_TIMEOUT = 60.0
"""Seconds without a message after which a subscription fails."""

Facts = dict[str, Any]
"""A JSON object of a response."""


@dataclass(frozen=True)
class Client:
    """Acts as the principal of the token."""

    host: str
    port: int
    token: str

    def execute(self, document: str, **variables: object) -> Facts:
        """Execute one operation. Raises DevserverError when the response has errors."""
        response = httpx.post(
            f"http://{self.host}:{self.port}/graphql",
            json={"query": document, "variables": variables},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
        )
        body: Facts = response.json()
        if body.get("errors"):
            raise DevserverError(f"The API returned an error: {body['errors'][0]['message']}")
        data: Facts = body["data"]
        return data

    def get_from_edge(self, host_name: str, path: str) -> httpx.Response:
        """Send a GET request to a tenant's host name."""
        return httpx.get(
            f"http://{self.host}:{self.port}{path}", headers={"Host": host_name}, timeout=10, trust_env=False
        )

    @contextmanager
    def subscribe(self, document: str, **variables: object) -> Iterator["Stream"]:
        """Subscribe until the end of the block."""
        address = f"ws://{self.host}:{self.port}/graphql"
        with connect(address, subprotocols=[PROTOCOL], proxy=None, close_timeout=2) as socket:
            _send(socket, type="connection_init", payload={"authorization": f"Bearer {self.token}"})
            _send(socket, id="1", type="subscribe", payload={"query": document, "variables": variables})
            yield Stream(socket)


@dataclass(frozen=True)
class Arrival:
    """A result of a subscription, and when it arrived (``time.perf_counter``, in seconds)."""

    data: Facts
    at: float


class Stream:
    """The results of a subscription. Iteration ends when the server completes the subscription."""

    def __init__(self, socket: ClientConnection) -> None:
        self._arrived: queue.Queue[Arrival | DevserverError | None] = queue.Queue()
        threading.Thread(target=self._listen, args=[socket], daemon=True, name="subscription").start()

    def __iter__(self) -> Iterator[Arrival]:
        while (arrived := self._next()) is not None:
            yield arrived

    def _next(self) -> Arrival | None:
        try:
            arrived = self._arrived.get(timeout=SUBSCRIPTION_TIMEOUT)
        except queue.Empty:
            raise DevserverError(f"The subscription delivered nothing for {SUBSCRIPTION_TIMEOUT:.0f} s.") from None
        if isinstance(arrived, DevserverError):
            raise arrived
        return arrived

    def _listen(self, socket: ClientConnection) -> None:
        try:
            for frame in socket:
                self._receive(json.loads(frame))
        finally:
            self._arrived.put(DevserverError("The connection of the subscription was closed."))

    def _receive(self, message: Facts) -> None:
        if message["type"] == "next":
            self._arrived.put(Arrival(message["payload"]["data"], time.perf_counter()))
        elif message["type"] == "complete":
            self._arrived.put(None)
        elif message["type"] == "error":
            self._arrived.put(DevserverError(f"The subscription failed: {message['payload']}"))


def _send(socket: ClientConnection, **message: object) -> None:
    socket.send(json.dumps(message))

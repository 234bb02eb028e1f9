"""A client of the public API, as a partner would write one: POST for questions, a websocket for watching."""

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

from devserver.refusal import Refused

PROTOCOL = Subprotocol("graphql-transport-ws")
PATIENCE_SECONDS = 60.0

Facts = dict[str, Any]
"""A JSON object as the API sent it."""


@dataclass(frozen=True)
class Client:
    """Acts for whom the token names."""

    host: str
    port: int
    token: str

    def ask(self, document: str, **variables: object) -> Facts:
        """Send one operation. Raises Refused when the answer holds errors."""
        answer = httpx.post(
            f"http://{self.host}:{self.port}/graphql",
            json={"query": document, "variables": variables},
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=30,
            trust_env=False,
        )
        body: Facts = answer.json()
        if body.get("errors"):
            raise Refused(f"The API answered with an error: {body['errors'][0]['message']}")
        data: Facts = body["data"]
        return data

    def look(self, host_name: str, path: str) -> httpx.Response:
        """Ask the edge, as a tenant's own user would."""
        return httpx.get(
            f"http://{self.host}:{self.port}{path}", headers={"Host": host_name}, timeout=10, trust_env=False
        )

    @contextmanager
    def watching(self, document: str, **variables: object) -> Iterator["Stream"]:
        """Subscribe for the length of the block."""
        address = f"ws://{self.host}:{self.port}/graphql"
        with connect(address, subprotocols=[PROTOCOL], proxy=None, close_timeout=2) as socket:
            _send(socket, type="connection_init", payload={"authorization": f"Bearer {self.token}"})
            _send(socket, id="1", type="subscribe", payload={"query": document, "variables": variables})
            yield Stream(socket)


@dataclass(frozen=True)
class Arrival:
    """What came over a subscription, and when (on this process' own clock, in seconds)."""

    data: Facts
    at: float


class Stream:
    """What a subscription delivers. Iterating ends when the server says complete."""

    def __init__(self, socket: ClientConnection) -> None:
        self._arrived: queue.Queue[Arrival | Refused | None] = queue.Queue()
        threading.Thread(target=self._listen, args=[socket], daemon=True, name="subscription").start()

    def __iter__(self) -> Iterator[Arrival]:
        while (arrived := self._next()) is not None:
            yield arrived

    def _next(self) -> Arrival | None:
        try:
            arrived = self._arrived.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise Refused(f"Nothing came over the subscription for {PATIENCE_SECONDS:.0f} s.") from None
        if isinstance(arrived, Refused):
            raise arrived
        return arrived

    def _listen(self, socket: ClientConnection) -> None:
        try:
            for frame in socket:
                self._take(json.loads(frame))
        finally:
            self._arrived.put(Refused("The subscription was cut."))

    def _take(self, message: Facts) -> None:
        if message["type"] == "next":
            self._arrived.put(Arrival(message["payload"]["data"], time.perf_counter()))
        elif message["type"] == "complete":
            self._arrived.put(None)
        elif message["type"] == "error":
            self._arrived.put(Refused(f"The subscription failed: {message['payload']}"))


def _send(socket: ClientConnection, **message: object) -> None:
    socket.send(json.dumps(message))

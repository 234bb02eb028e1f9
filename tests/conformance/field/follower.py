"""A client that follows a subscription over many connections, from the last entry that it saw."""

import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import websockets.exceptions

from runtime.feed import POLL_EVERY
from tests.api import Client, Facts, Subscription
from tests.conformance.field.api_clients import ApiClient

ENTRY_TIMEOUT = POLL_EVERY + 1.0
"""Seconds that a follower waits for the next entry before it continues: the product polls every two."""

MAX_SILENCE = 60.0
"""Seconds without an entry after which the next one counts as lost: twice the longest wait for a run, 30 s."""

MAX_CUTS_WITHOUT_PROGRESS = 20
"""How often a follower may be cut off without a new entry."""


@dataclass
class Follower:
    """Follows a subscription, is disconnected repeatedly, and resumes after the last entry that it saw."""

    client: ApiClient
    document: str
    variables: Facts
    seed: int
    cursor: str | None = None
    seen: list[Facts] = field(default_factory=list)
    cuts: int = 0
    last_entry_at: float = field(default_factory=time.monotonic)

    def follow(self, enough: Callable[[list[Facts]], bool]) -> None:
        """Follow until ``enough`` is true, over several connections."""
        rng = random.Random(self.seed)  # reproducible, not a secret
        while not self._follow_once(rng.randint(1, 12), enough, abruptly=rng.random() < 0.5):
            self.cuts += 1
            new = len({entry["id"] for entry in self.seen})
            assert self.cuts < MAX_CUTS_WITHOUT_PROGRESS + new, f"V10: no progress after {self.cuts} cuts"

    def _follow_once(self, entries: int, enough: Callable[[list[Facts]], bool], *, abruptly: bool) -> bool:
        client = Client(self.client.testbed.address, f"Bearer {self.client.token}")
        with client.subscribed(self.document, after=self.cursor, **self.variables) as subscription:
            for _ in range(entries):
                entry = _next(subscription)
                if entry is not None:
                    self.last_entry_at = time.monotonic()
                    self.cursor = entry["cursor"]
                    self.seen += [entry] if entry.get("sequence", 0) is not None else []
                if enough(self.seen):
                    return True
                silent = time.monotonic() - self.last_entry_at
                assert silent < MAX_SILENCE, f"V10: no entry for {silent:.0f} s"
            if abruptly:
                subscription.socket.socket.shutdown(socket.SHUT_RDWR)
        return False


def _next(subscription: Subscription) -> Facts | None:
    """The next entry; None if none comes in time or the subscription has ended."""
    try:
        message = subscription.message(ENTRY_TIMEOUT)
    except (TimeoutError, websockets.exceptions.ConnectionClosed):
        return None
    if message["type"] == "complete":
        return None
    assert message["type"] == "next", f"V10: {message}"
    entry: Facts = message["payload"]["data"]["it"]
    return entry

"""The change feed of a process: one LISTEN connection that wakes all watchers of this process."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from runtime.connections import connect_to_listen
from runtime.hints import ANNOUNCE

logger = logging.getLogger(__name__)

RECONNECT_AFTER = 1.0
"""Seconds between two attempts to connect."""

POLL_EVERY = 2.0
"""Seconds after which a watcher polls without a notification: one may have been lost."""


class Watcher:
    """Waits for notifications. Several of them before the next read cause one read."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = frozenset(words)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """End the current or the next wait."""
        self._woken.set()

    def matches(self, words: frozenset[str]) -> bool:
        """Whether a notification contains every word of this watcher."""
        return self._words <= words

    async def wait(self, at_most: float = POLL_EVERY) -> None:
        """Wait for a notification, at most ``at_most`` seconds. The caller reads the database afterwards."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._woken.wait()
        self._woken.clear()


class Feed:
    """Receives NOTIFY on one channel. A watcher wakes when the payload contains all of its words."""

    def __init__(self, url: str, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._watchers: dict[str, set[Watcher]] = {}

    @property
    def watchers(self) -> int:
        """Number of watchers now. Safe to read from any thread."""
        return sum(len(watchers) for watchers in list(self._watchers.values()))

    @contextmanager
    def watch(self, *words: str) -> Iterator[Watcher]:
        """Register a watcher for notifications that contain all these words, until the end of the block."""
        watcher = Watcher(words)
        self._watchers.setdefault(words[0], set()).add(watcher)
        try:
            yield watcher
        finally:
            self._remove(words[0], watcher)

    async def listen(self) -> None:
        """Listen until cancelled. Reconnects when the connection is lost."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                logger.warning("change feed lost its connection, reconnecting", extra={"cause": str(error).strip()})
            await asyncio.sleep(RECONNECT_AFTER)

    def notify(self, payload: str) -> None:
        """Wake the watchers that this payload matches."""
        words = frozenset(payload.split())
        for word in words:
            for watcher in self._watchers.get(word, ()):
                if watcher.matches(words):
                    watcher.wake()

    def _wake_all(self) -> None:
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake()

    async def _listen(self) -> None:
        connection = await connect_to_listen(self._url, "tenantry-feed")
        async with connection:
            await connection.execute(ANNOUNCE)
            await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))
            # For changes that were committed before LISTEN.
            self._wake_all()
            async for notification in connection.notifies():
                self.notify(notification.payload)

    def _remove(self, word: str, watcher: Watcher) -> None:
        watchers = self._watchers[word]
        watchers.discard(watcher)
        if not watchers:
            del self._watchers[word]

"""The change feed of a process: one connection that listens, and everybody who watches woken by it."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from runtime.database import TCP_KEEPALIVE

logger = logging.getLogger(__name__)

RECONNECT_AFTER = 1.0
"""Seconds between two tries to listen again."""

POLL_EVERY = 2.0
"""Seconds after which a watcher looks although nobody woke it: a hint may be lost, a change may not."""


class Watcher:
    """Somebody who looks again when woken. However often it is woken before it looks, it looks once."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = frozenset(words)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Have it look again."""
        self._woken.set()

    def concerned_by(self, words: frozenset[str]) -> bool:
        """Whether a hint names everything it watches."""
        return self._words <= words

    async def wait(self, at_most: float = POLL_EVERY) -> None:
        """Wait until woken, at most so many seconds. The caller reads after this returned, never before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._woken.wait()
        self._woken.clear()


class Feed:
    """Hears NOTIFY on one channel. A payload is words; it concerns whoever has named no other words than these."""

    def __init__(self, url: str, channel: str) -> None:
        self._url = url
        self._channel = channel
        self._watchers: dict[str, set[Watcher]] = {}

    @property
    def watchers(self) -> int:
        """How many watch now. Any thread may ask."""
        return sum(len(watchers) for watchers in list(self._watchers.values()))

    @contextmanager
    def watch(self, *words: str) -> Iterator[Watcher]:
        """Watch for hints that name all these words, for the length of the block."""
        watcher = Watcher(words)
        self._watchers.setdefault(words[0], set()).add(watcher)
        try:
            yield watcher
        finally:
            self._leave(words[0], watcher)

    async def listen(self) -> None:
        """Listen until cancelled, again and again when the connection is lost."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                logger.warning("the change feed lost the database, trying again", extra={"cause": str(error).strip()})
            await asyncio.sleep(RECONNECT_AFTER)

    def notify(self, payload: str) -> None:
        """Wake whom a hint concerns."""
        words = frozenset(payload.split())
        for word in words:
            for watcher in self._watchers.get(word, ()):
                if watcher.concerned_by(words):
                    watcher.wake()

    def _wake_all(self) -> None:
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake()

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, connect_timeout=5, application_name="tenantry-feed", **TCP_KEEPALIVE
        )
        async with connection:
            await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))
            # Whatever happened while nobody listened.
            self._wake_all()
            async for hint in connection.notifies():
                self.notify(hint.payload)

    def _leave(self, word: str, watcher: Watcher) -> None:
        watchers = self._watchers[word]
        watchers.discard(watcher)
        if not watchers:
            del self._watchers[word]

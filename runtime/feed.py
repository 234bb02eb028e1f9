"""The change feed of a process: one connection that listens, and one poll for lost hints, wake all its watchers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from uuid import UUID

import psycopg

from runtime.connections import connect_to_listen
from runtime.hints import ANNOUNCE

logger = logging.getLogger(__name__)

Listen = Callable[["Feed"], Awaitable[None]]
"""Listens until the connection is lost, and raises OSError then. Calls ``resume`` once it listens, ``notify`` with each
payload."""

RECONNECT_AFTER = 1.0
"""Seconds between two attempts to connect."""

POLL_EVERY = 2.0
"""Seconds between two polls: a notification may have been lost, and heartbeats send none."""

ReadMarks = Callable[[Collection[UUID]], Awaitable[Mapping[str, str | None]]]
"""Reads a mark for each id, which differs once there is something new to read."""


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

    async def wait(self, at_most: float | None = None) -> None:
        """Wait until woken, at most ``at_most`` seconds if given. The caller reads the database afterwards."""
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._woken.wait()
        self._woken.clear()


class Feed:
    """Receives the hints of one channel: by NOTIFY, unless ``listen`` receives them from another carrier.

    A watcher wakes when the payload contains all of its words.

    The first word of a watcher is the id of the tenant or organisation that it watches, or a word that all payloads of
    a kind contain.
    """

    def __init__(self, url: str, channel: str, listen: Listen | None = None) -> None:
        self._url = url
        self._channel = channel
        self._listen = listen or Feed._listen_to_postgres
        self._lost = False
        self._watchers: dict[str, set[Watcher]] = {}
        self._marks: dict[str, str | None] = {}

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
        """Listen until cancelled. Reconnects when the connection is lost; until then, the poll finds the changes."""
        while True:
            try:
                await self._listen(self)
            except (psycopg.Error, OSError) as error:
                if not self._lost:
                    logger.warning("change feed lost its connection, polling", extra={"cause": str(error).strip()})
                self._lost = True
            await asyncio.sleep(RECONNECT_AFTER)

    async def poll(self, read_marks: ReadMarks) -> None:
        """Poll until cancelled, and wake the watchers that have something new to read.

        One read serves them all. So a watcher costs nothing while nothing happens.
        """
        while True:
            await asyncio.sleep(POLL_EVERY)
            try:
                await self.poll_once(read_marks)
            except Exception:
                logger.warning("change feed cannot poll, trying again", exc_info=True)

    async def poll_once(self, read_marks: ReadMarks) -> None:
        """Wake the watchers of each word with another mark than at the poll before, or without a mark.

        A word that was not polled before has none: its watcher may have read before an event that was not notified.
        """
        if not self._watchers:
            return
        before, self._marks = self._marks, {}
        self._marks = dict(await read_marks([id_ for word in self._watchers if (id_ := _id_in(word))]))
        for word, watchers in self._watchers.items():
            if self._marks.get(word) is None or self._marks[word] != before.get(word):
                for watcher in watchers:
                    watcher.wake()

    def notify(self, payload: str) -> None:
        """Wake the watchers that this payload matches."""
        words = frozenset(payload.split())
        for word in words:
            for watcher in self._watchers.get(word, ()):
                if watcher.matches(words):
                    watcher.wake()

    def resume(self) -> None:
        """Wake all watchers, once the connection listens: they read what has changed before."""
        if self._lost:
            self._lost = False
            logger.info("change feed listens again")
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.wake()

    async def _listen_to_postgres(self) -> None:
        connection = await connect_to_listen(self._url, "tenantry-feed")
        async with connection:
            await connection.execute(ANNOUNCE)
            await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel)))
            self.resume()
            async for notification in connection.notifies():
                self.notify(notification.payload)

    def _remove(self, word: str, watcher: Watcher) -> None:
        watchers = self._watchers[word]
        watchers.discard(watcher)
        if not watchers:
            del self._watchers[word]


def _id_in(word: str) -> UUID | None:
    try:
        return UUID(word)
    except ValueError:
        return None

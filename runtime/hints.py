"""Hints: messages after a commit, which make other processes look at once instead of at their next poll.

Losing one is harmless, so they are sent after the commit and not with it: Postgres runs commits that notify one after
another, each until it is on the disk.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from runtime.connections import connect

logger = logging.getLogger(__name__)

REST = 0.005
"""Seconds between two statements, so that many commits share one. The first hint after a rest is sent at once."""

REST_UNHEARD = 0.05
"""The same after hints for which there was no listener. The next ones are sent late, not dropped: one may begin."""

MAX_PENDING = 10_000
"""Hints that wait for the database. Listeners poll for what else happens meanwhile."""

LISTENERS = """
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid::bigint << 32 | objid::bigint = hashtextextended('tenantry listeners', 0)
"""

ANNOUNCE = "SELECT pg_advisory_lock_shared(hashtextextended('tenantry listeners', 0))"
"""What a listener executes on its connection before it reads: without it, only urgent hints are sent to it."""

SEND = f"""
-- Locks: none but the queue of NOTIFY, for the length of the commit. Nothing is written to the disk.
SELECT pg_notify(channel, payload)
FROM unnest(%(channels)s::text[], %(payloads)s::text[], %(urgent)s::bool[]) AS hint(channel, payload, urgent)
WHERE urgent OR EXISTS ({LISTENERS})
"""  # noqa: S608  # made of constants


@dataclass(frozen=True, slots=True)
class Hint:
    """A message on a channel. An ``urgent`` one does not wait for others, and needs no announced listener."""

    channel: str
    payload: str
    urgent: bool = False


def send(connection: psycopg.Connection[Any], hints: Iterable[Hint]) -> bool:
    """Send these hints, in one statement. Returns whether one was sent: the others had no listener."""
    sent = list(dict.fromkeys(hints))
    values = {
        "channels": [hint.channel for hint in sent],
        "payloads": [hint.payload for hint in sent],
        "urgent": [hint.urgent for hint in sent],
    }
    return bool(connection.execute(SEND.encode(), values, prepare=True).fetchall())


class Carrier(Protocol):
    """What carries hints to other processes. Only the thread of a sender uses it."""

    def send(self, hints: Sequence[Hint]) -> bool:
        """Send these hints. Returns whether one was heard. Never raises: a hint that cannot be sent is lost."""

    def close(self) -> None:
        """Close the connection."""


class HintSender:
    """Sends the hints of a process from a thread. The thread and its connection begin with the first hint."""

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._changed = threading.Condition()
        self._pending: dict[Hint, None] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None

    def __call__(self, hints: Sequence[Hint]) -> None:
        """Send these hints soon. Never waits for the database."""
        with self._changed:
            if self._stopping or len(self._pending) > MAX_PENDING:
                return
            self._pending.update(dict.fromkeys(hints))
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="hints", daemon=True)
                thread.start()
                self._thread = thread
            self._changed.notify()

    def close(self, timeout: float = 5.0) -> None:
        """Send what is pending, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        while hints := self._next():
            heard = self._carrier.send(hints)
            self._rest(REST if heard else REST_UNHEARD)
        self._carrier.close()

    def _next(self) -> Sequence[Hint]:
        """Wait for hints. Returns none when the sender is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._pending or self._stopping)
            hints, self._pending = list(self._pending), {}
            return hints

    def _rest(self, seconds: float) -> None:
        """Let hints gather, unless one is urgent."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or any(hint.urgent for hint in self._pending), seconds)


class NotifyCarrier:
    """Carries hints by NOTIFY, on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()

    def send(self, hints: Sequence[Hint]) -> bool:
        """Send the hints; once more on a new connection if an older one was lost. To send one twice does no harm."""
        for is_last_try in (self._connection is None, True):
            try:
                return self._send_once(hints)
            except psycopg.Error as error:
                if is_last_try:
                    cause = str(error).strip()
                    logger.warning("hints lost, their readers find the changes later", extra={"cause": cause})
                    break
        return False

    def _send_once(self, hints: Sequence[Hint]) -> bool:
        try:
            if self._connection is None:
                self._connection = connect(self._url, "tenantry-hints", autocommit=True)
            return send(self._connection, hints)
        except psycopg.Error:
            if self._connection is not None:
                with suppress(psycopg.Error):
                    self._connection.close()
                self._connection = None
            raise

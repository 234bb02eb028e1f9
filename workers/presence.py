"""Whether worker processes live, by their session locks in Postgres.

A session lock of Postgres ends with the connection that holds it, and the connection of a process that dies is closed
by the machine at once.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from uuid import uuid4

import psycopg

from provisioning.lost_workers import MARK, WorkerLocks, lock_key

logger = logging.getLogger(__name__)

TAKE_LOCK = f"SELECT pg_try_advisory_lock_shared({lock_key('%s')})"

GRACE = 1.0
"""Seconds between two looks at the locks after which a worker without a lock counts as lost. A worker that lives and
lost its connection reconnects within this time."""

LOOK_EVERY = 0.5
"""Seconds between two looks while other workers have leases."""

LONGEST_GAP = 5 * GRACE
"""Seconds between the same two looks at most. A longer gap says that this process was paused itself."""


class Presence:
    """The session lock of this process. ``owner`` is the name for its next leases.

    Only the name of a process that holds its lock is marked, and only leases with a marked name can end because the
    lock is missing. ``on_change`` gets each new name.
    """

    def __init__(self, on_change: Callable[[str], None] = lambda _: None) -> None:
        self.plain_owner = f"{socket.gethostname()[:60]}:{os.getpid()}"
        self.locked_owner = f"{self.plain_owner}{MARK}{uuid4().hex}"
        self.decided = threading.Event()
        """Set when the first attempt to take the lock has ended."""
        self._on_change = on_change
        self._since: float | None = None

    @property
    def age(self) -> float:
        """Seconds since the lock was taken; 0 without it."""
        since = self._since
        return 0.0 if since is None else monotonic() - since

    @contextmanager
    def shown_on(self, connection: psycopg.Connection[Any]) -> Iterator[None]:
        """Hold the lock on this connection within the block, if it is possible."""
        if self._lock(connection):
            self._since = monotonic()
            self._on_change(self.locked_owner)
        self.decided.set()
        try:
            yield
        finally:
            self._since = None
            self._on_change(self.plain_owner)

    def _lock(self, connection: psycopg.Connection[Any]) -> bool:
        """Take the lock. It is shared: an earlier connection whose end Postgres has not noticed may hold it too."""
        [pid] = connection.execute("SELECT pg_backend_pid()").fetchone() or [None]
        if pid != connection.info.backend_pid:
            # A pooler answers with a process of its own choice, so that the lock may stay with another connection.
            logger.warning(
                "a pooler is between this worker and Postgres: if the worker dies, its runs wait for their leases"
            )
            return False
        taken = connection.execute(TAKE_LOCK.encode(), [self.locked_owner]).fetchone()
        return bool(taken and taken[0])


class LostWorkers:
    """Decides which workers are lost, from one look at the locks after another."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._missing_since: dict[str, float] = {}
        self._next_look_at: float | None = None

    def after(self, locks: WorkerLocks) -> list[str]:
        """The owners that are lost: their lock is missing for GRACE.

        When Postgres restarts, all locks are lost at once. So a process decides only when it has held its own lock for
        long enough that the others had time to take theirs.
        """
        now = monotonic()
        self._next_look_at = now + LOOK_EVERY if locks.own_is_held else None
        if not locks.own_is_held or self._presence.age < 2 * GRACE:
            self._missing_since = {}
            return []
        since = {owner: self._missing_since.get(owner, now) for owner in locks.missing}
        lost = [owner for owner, first in since.items() if GRACE <= now - first <= LONGEST_GAP]
        self._missing_since = {
            owner: first if now - first <= LONGEST_GAP else now for owner, first in since.items() if owner not in lost
        }
        if self._missing_since:
            self._next_look_at = min(self._missing_since.values()) + GRACE
        return lost

    @property
    def next_look_in(self) -> float | None:
        """Seconds until the next look; None while there are no other workers with leases."""
        return None if self._next_look_at is None else max(0.0, self._next_look_at - monotonic())
